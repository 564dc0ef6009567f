"""The rows of a query as a source: read in pages by a unique column, so that a reader can resume behind any row.

A page is what follows the last key that was read: `WHERE key > last ORDER BY key LIMIT n`. So no transaction and no
cursor is held open, and a position is a key. Where it ends is found once, when a run starts afresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from penstock.connectors.postgres.connection import Connection, quoted
from penstock.connectors.postgres.dsn import place, unready
from penstock.connectors.postgres.imports import psycopg
from penstock.connectors.row_fields import field_types
from penstock.errors import PenstockError
from penstock.operator import Context
from penstock.source import EndOfSplit, Position, Reader, Rejected, Source, WithRejected

_FIRST_PAGE = 100
_MOST_ROWS = 2_000
_PAGE_BYTES = 256 * 1024
_SAMPLE = 20
_SHOWN = 60
READ = "BEGIN; SET LOCAL datestyle = ISO; SET LOCAL intervalstyle = postgres"
"""What psycopg reads times in, whatever the session has; the order of day and month stays that of the session."""
_KEY = "_penstock_key"
"""The column with a row's key as text that means the same in every session."""
_AS_TEXT = "pg_catalog.to_jsonb({}) #>> '{{}}'"


class PostgresQuery(Source[Any]):
    """What `postgres.query(...)` gives."""

    def __init__(self, dsn: str, sql: str, kind: Any, key: str) -> None:
        self._dsn = dsn
        self._sql = sql.strip().rstrip(";")
        self._kind = kind
        self._key = key

    def __repr__(self) -> str:
        return f"<{self.target}>"

    @property
    def label(self) -> str:
        return "postgres-query"

    @property
    def target(self) -> str:
        where = place(self._dsn)
        sql = " ".join(self._sql.split())
        if len(sql) > _SHOWN:  # another query is another layout, wherever it differs
            sql = f"{sql[:_SHOWN]}… ({blake2b(self._sql.encode('utf-8', 'replace'), digest_size=4).hexdigest()})"
        return f"PostgreSQL{f' ({where})' if where else ''} by {self._key}: {sql}"

    @property
    def row_type(self) -> Any:
        return self._kind

    @property
    def modules(self) -> Sequence[str]:
        return ("psycopg",)

    def check_source(self) -> Sequence[str]:
        found = []
        if not self._sql:
            found.append('the query is empty; write "SELECT * FROM visits"')
        fields = field_types(self._kind)
        if fields and self._key not in fields:
            found.append(f"type has no field {self._key!r} for the key; it has: {', '.join(fields)}")
        return [*found, *unready(self._dsn)]

    def splits(self) -> Mapping[str, Any]:
        """One, with the last key that there is now: what comes later is not read."""
        key = quoted(self._key)
        connection = Connection(self._dsn, "penstock")
        try:
            with connection.told("the query"):
                found = connection.rows(
                    f"SELECT {_AS_TEXT.format('k')}, pg_catalog.pg_typeof(k)::text FROM (SELECT {key} AS k FROM "
                    f"({self._sql}\n) AS q WHERE {key} IS NOT NULL ORDER BY 1 DESC LIMIT 1) AS l"
                )
        finally:
            connection.close()
        return {"all": {"last": found[0][0], "type": found[0][1]}} if found else {}

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[Any]:
        connection = Connection(self._dsn, f"penstock {context.pipeline}/{context.stage} {context.slot}")
        return QueryReader(connection, self._page_statement(split["type"]), split["last"], position, self._kind)

    def _page_statement(self, key_type: str) -> str:
        """With placeholders: the key to go on behind (NULL: from the beginning), the last one, and how many rows."""
        key = f"q.{quoted(self._key)}"
        sql = self._sql.replace("%", "%%")
        kind = key_type.replace("%", "%%")
        return (
            f"SELECT q.*, {_AS_TEXT.format(key)} AS {_KEY} FROM ({sql}\n) AS q "
            f"WHERE (%s::text IS NULL OR {key} > %s::{kind}) AND {key} <= %s::{kind} ORDER BY {key} LIMIT %s"
        )


class QueryReader(Reader[Any]):
    """Reads pages; keeps the last key."""

    def __init__(self, connection: Connection, statement: str, last: str, position: str | None, kind: Any) -> None:
        self._connection = connection
        self._statement = statement
        self._last = last
        self._at = position
        self._kind = kind
        self._typed = bool(field_types(kind))
        self._rows = _FIRST_PAGE
        self._names: list[str] = []

    def read(self) -> WithRejected[Any]:
        if self._at == self._last:
            raise EndOfSplit
        with self._connection.told("the query"):
            self._connection.execute(READ)
            try:
                cursor = self._connection.execute(self._statement, [self._at, self._at, self._last, self._rows])
            finally:
                self._connection.rollback()
            self._names = _names(cursor)
            found = self._page(cursor)
        if not found.batch:  # the last row was deleted
            self._at = self._last
            raise EndOfSplit
        return found

    def _page(self, cursor: Any) -> WithRejected[Any]:
        rows: list[Any] = []
        rejected: dict[int, Rejected] = {}
        count = cursor.rowcount
        for index in range(count):
            try:
                *values, key = cursor.fetchone()
                row = self._row(values)
            except (psycopg().DataError, ValueError, OverflowError, msgspec.ValidationError) as exc:
                # A value that Python has no type for (a year beyond 9999), or one that the rows' type does not take.
                shown, key = _raw(cursor.pgresult, index)
                cursor.scroll(index + 1, mode="absolute")
                rejected[index] = Rejected(shown, f"row with the key {key}: {type(exc).__name__}: {exc}")
                row = None
            rows.append(row)
            if key == self._at:
                raise PenstockError(
                    f"several rows of the query have the key {key}; a key has to be unique, or rows would be left out: "
                    "name another column, or several in one (row_number() OVER (ORDER BY a, b))"
                )
            self._at = key
        self._rows = _next_page(cursor.pgresult, count)
        return WithRejected(rows, rejected)

    def _row(self, values: list[Any]) -> Any:
        row = dict(zip(self._names, values, strict=True))
        return msgspec.convert(row, self._kind) if self._typed else row

    def position(self) -> Position:
        return self._at

    def close(self) -> None:
        self._connection.close()


def _names(cursor: Any) -> list[str]:
    names = [column.name for column in cursor.description][:-1]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PenstockError(f"the query has several columns {', '.join(map(repr, twice))}; name them apart (AS)")
    return names


def _raw(result: Any, index: int) -> tuple[dict[str, str | None], str]:
    """A row as the server wrote it, and its key."""
    values = {}
    for column in range(result.nfields):
        value = result.get_value(index, column)
        values[result.fname(column).decode()] = None if value is None else value.decode("utf-8", "backslashreplace")
    key = values.pop(_KEY)
    assert key is not None
    return values, key


def _next_page(result: Any, count: int) -> int:
    """As many rows as make 256 KiB, by some of these."""
    sample = min(count, _SAMPLE)
    size = sum(len(result.get_value(row, column) or b"") for row in range(sample) for column in range(result.nfields))
    return max(1, min(_MOST_ROWS, _PAGE_BYTES * sample // max(size, 1))) if sample else _FIRST_PAGE
