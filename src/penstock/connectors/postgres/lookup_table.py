"""A table or query of PostgreSQL that rows are looked up in, by one of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.connectors.lookup_rows import answer, asked_from, column_names, what_problems
from penstock.connectors.postgres.connection import Connection, quoted
from penstock.connectors.postgres.dsn import place, unready
from penstock.connectors.postgres.names import TableName, problems
from penstock.connectors.postgres.query import READ
from penstock.lookup_table import LookupTable, TableReader
from penstock.operator import Context
from penstock.options import Duration


class PostgresLookup(LookupTable[Any]):
    """What `postgres.lookup_table(...)` gives."""

    def __init__(
        self, dsn: str, table: TableName, query: str, kind: Any, cache_keys: int, max_age: Duration
    ) -> None:
        self._dsn = dsn
        self._table = table
        self._query = query
        self._kind = kind
        self.cache_keys = cache_keys
        self.max_age = max_age

    @property
    def label(self) -> str:
        return "postgres"

    @property
    def target(self) -> str:
        where = place(self._dsn)
        what = "a query" if self._query else f"table {self._table}"
        return f"{what} of PostgreSQL{f' ({where})' if where else ''}"

    @property
    def row_type(self) -> Any:
        return self._kind

    @property
    def modules(self) -> Sequence[str]:
        return ("psycopg",)

    def check_table(self) -> Sequence[str]:
        found = what_problems(self._table.name, self._query)
        if not found and not self._query:
            found = problems(self._table)
        return [*found, *unready(self._dsn)]

    def open(self, key: str, context: Context) -> TableReader:
        connection = Connection(self._dsn, f"penstock {context.pipeline}/{context.stage} {context.slot}")
        try:
            table = asked_from(self._table.sql, self._query)
            return PostgresReader(connection, table, key, self.target, self._kind)
        except BaseException:
            connection.close()
            raise


class PostgresReader(TableReader):
    """One connection. Each question is a transaction of its own, so it sees what was committed before."""

    def __init__(self, connection: Connection, table: str, key: str, target: str, kind: Any) -> None:
        self._connection = connection
        self._kind = kind
        table = table.replace("%", "%%")
        cursor = self._ask(f"SELECT * FROM {table} AS q LIMIT 0", [])
        columns = cursor.description
        self._names = column_names([column.name for column in columns], key, target)
        [code] = [column.type_code for column in columns if column.name == key]
        [(kind_of_key,)] = self._ask("SELECT pg_catalog.format_type(%s, NULL)", [code]).fetchall()
        self._question = (
            f"SELECT a.n - 1, q.* FROM pg_catalog.unnest(%s::{kind_of_key.replace('%', '%%')}[]) WITH ORDINALITY "
            f"AS a(k, n) JOIN {table} AS q ON q.{quoted(key).replace('%', '%%')} = a.k"
        )

    def find(self, keys: Sequence[Any]) -> Sequence[Sequence[Any]]:
        cursor = self._ask(self._question, [list(keys)])
        with self._connection.told("the answer"):  # a value that Python has no type for
            return answer(cursor.fetchall(), self._names, len(keys), self._kind)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, sql: str, values: Sequence[Any]) -> Any:
        with self._connection.told("the lookup"):
            self._connection.execute(READ)
            try:
                return self._connection.execute(sql, values)
            finally:
                self._connection.rollback()
