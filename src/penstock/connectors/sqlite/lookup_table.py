"""A table or query of an SQLite database that rows are looked up in, by one of its columns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from penstock.connectors.lookup_rows import answer, asked_from, column_names, question, what_problems
from penstock.errors import PenstockError
from penstock.lookup_table import LookupTable, TableReader
from penstock.operator import Context, Unavailable
from penstock.options import Duration
from penstock.working_directory import absolute

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_WAITS_S: Final = 5.0


class SqliteLookup(LookupTable[Any]):
    """What `sqlite.lookup_table(...)` gives."""

    def __init__(
        self, database: str | Path, table: str, query: str, kind: Any, cache_keys: int, max_age: Duration
    ) -> None:
        self._path = absolute(str(database))
        self._table = table
        self._query = query
        self._kind = kind
        self.cache_keys = cache_keys
        self.max_age = max_age

    @property
    def label(self) -> str:
        return "sqlite"

    @property
    def target(self) -> str:
        return f"{'a query' if self._query else f'table {self._table}'} of {self._path}"

    @property
    def row_type(self) -> Any:
        return self._kind

    def check_table(self) -> Sequence[str]:
        found = what_problems(self._table, self._query)
        if not os.path.exists(self._path):
            found.append(f"{self._path} does not exist; create it, or name another file")
        return found

    def open(self, key: str, context: Context) -> TableReader:
        return SqliteReader(self._path, asked_from(_quoted(self._table), self._query), key, self.target, self._kind)


class SqliteReader(TableReader):
    """One connection, which only reads. Each question sees what was committed before."""

    def __init__(self, path: str, table: str, key: str, target: str, kind: Any) -> None:
        self._path = path
        self._table = table
        self._key = _column(key)
        self._kind = kind
        self._connection: sqlite3.Connection | None = None
        self._names = column_names(self._columns(table, target), key, target)

    def find(self, keys: Sequence[Any]) -> Sequence[Sequence[Any]]:
        _, found = self._ask(question(self._table, self._key, len(keys)), keys)
        return answer(found, self._names, len(keys), self._kind)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _columns(self, table: str, target: str) -> list[str]:
        """Raises `PenstockError` where there is no such table, or the query is wrong: no restart helps."""
        try:
            names, _ = self._ask(f"SELECT * FROM {table} AS q LIMIT 0", [])
            return names
        except sqlite3.Error as error:
            reason = str(error)
        # Outside of the handler: its class, of which some may pass, is no cause of it.
        raise PenstockError(f"{target} cannot be asked: {reason}; correct its name or the query")

    def _ask(self, sql: str, values: Sequence[Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
        """(names of the columns, rows). Raises `Unavailable` where the file is out of reach for now."""
        try:
            if self._connection is None:
                address = f"file:{quote(self._path)}?mode=ro"
                self._connection = sqlite3.connect(address, uri=True, timeout=_WAITS_S)
            cursor = self._connection.execute(sql, values)
            return [name for name, *_ in cursor.description], cursor.fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in _BUSY:
                raise Unavailable(f"{self._path} cannot be read now ({error})") from error
            raise


def _quoted(table: str) -> str:
    return ".".join(map(_column, table.split(".")))


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
