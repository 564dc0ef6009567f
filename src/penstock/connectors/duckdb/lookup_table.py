"""A table or query of a DuckDB database that rows are looked up in, by one of its columns.

The file is open only while it is asked: DuckDB lets nobody write to it meanwhile, nor anybody read while one writes.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.connectors.duckdb.database import quoted, quoted_table
from penstock.connectors.duckdb.imports import duckdb
from penstock.connectors.duckdb.outages import hopeless, require_no_outage, told_outages
from penstock.connectors.lookup_rows import NUMBER, answer, asked_from, column_names, question, what_problems
from penstock.errors import PenstockError
from penstock.lookup_table import LookupTable, TableReader
from penstock.operator import Context
from penstock.options import Duration
from penstock.working_directory import absolute


class DuckdbLookup(LookupTable[Any]):
    """What `duckdb.lookup_table(...)` gives."""

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
        return "duckdb"

    @property
    def target(self) -> str:
        return f"{'a query' if self._query else f'table {self._table}'} of {self._path}"

    @property
    def row_type(self) -> Any:
        return self._kind

    @property
    def modules(self) -> Sequence[str]:
        return ("duckdb", "pyarrow")

    def check_table(self) -> Sequence[str]:
        found = what_problems(self._table, self._query)
        for package in ("duckdb", "pyarrow"):
            if importlib.util.find_spec(package) is None:
                found.append(f"{package} is not installed; `pip install 'penstock[duckdb]'` installs it")
        if not os.path.exists(self._path):
            found.append(f"{self._path} does not exist; create it, or name another file")
        return found

    def open(self, key: str, context: Context) -> TableReader:
        table = asked_from(quoted_table(self._table), self._query)
        return DuckdbReader(self._path, table, key, self.target, self._kind)


class DuckdbReader(TableReader):
    """Opens the file for each question."""

    def __init__(self, path: str, table: str, key: str, target: str, kind: Any) -> None:
        self._path = path
        self._table = table
        self._key = quoted(key)
        self._kind = kind
        self._names = column_names(self._ask(f"SELECT * FROM {table} AS q LIMIT 0", []).column_names, key, target)

    def find(self, keys: Sequence[Any]) -> Sequence[Sequence[Any]]:
        found = self._ask(question(self._table, self._key, len(keys)), list(keys))
        numbers, *columns = (column.to_pylist(maps_as_pydicts="strict") for column in found.columns)
        assert found.column_names[0] == NUMBER
        return answer(zip(numbers, *columns), self._names, len(keys), self._kind)

    def _ask(self, sql: str, values: Sequence[Any]) -> Any:
        """An Arrow table."""
        connection = _connect(self._path)
        try:
            with told_outages(self._path):
                return connection.sql(sql, params=values).to_arrow_table()
        finally:
            connection.close()


def _connect(path: str) -> Any:
    module = duckdb()
    found: PenstockError | None
    try:
        connection = module.connect(path, read_only=True, config={"threads": 1})
    except module.ConnectionException as exc:
        raise PenstockError(f"{path} is open in this very process; close that connection and run again") from exc
    except module.Error as exc:
        require_no_outage(path, exc)
        found = hopeless(path, exc)
        if found is None:
            raise
    else:
        connection.execute("SET TimeZone = 'UTC'")
        return connection
    raise found  # outside of the handler: DuckDB's class, of which some may pass, is no cause of it
