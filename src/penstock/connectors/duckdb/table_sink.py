"""The description of a DuckDB table to write: what is checked before a run, what a fresh run makes away with."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from penstock.connectors.duckdb.database import open_database, quoted_table
from penstock.connectors.duckdb.outages import told_outages
from penstock.connectors.duckdb.schema import has_rows, table_exists
from penstock.connectors.duckdb.writer import TableWriter
from penstock.connectors.table_in_file import TableInFile
from penstock.errors import OutputExists
from penstock.operator import Context
from penstock.sink import TransactionalWriter
from penstock.source import Position


class DuckdbSink(TableInFile):
    """What `duckdb.table(...)` gives."""

    kind: ClassVar[str] = "duckdb"

    def missing(self) -> Sequence[str]:
        missing = [package for package in ("duckdb", "pyarrow") if importlib.util.find_spec(package) is None]
        if not missing:
            return ()
        what = f"{missing[0]} is" if len(missing) == 1 else f"{' and '.join(missing)} are"
        return (f"{what} not installed; `pip install 'penstock[duckdb]'` installs what is missing",)

    def table_mistake(self) -> str:
        if all(self._table.split(".")) and self._table.count(".") <= 1:
            return ""
        return f'{self._table!r} is not a table; write "visits" or "schema.visits"'

    @property
    def modules(self) -> Sequence[str]:
        return ("duckdb", "pyarrow", "pyarrow.compute", "pyarrow.dataset")

    def refuse(self) -> None:
        if self._if_exists == "error":
            with self._looking() as cursor:
                if cursor is not None and table_exists(cursor, self._table) and has_rows(cursor, self._table):
                    raise OutputExists(self.target)

    def prepare(self) -> None:
        if self._if_exists == "overwrite":
            with self._looking() as cursor:
                if cursor is not None:
                    cursor.execute(f"DROP TABLE IF EXISTS {quoted_table(self._table)}")

    @contextmanager
    def _looking(self) -> Iterator[Any]:
        """A cursor on the database; None where there is none yet."""
        if not os.path.exists(self._path):
            yield None
            return
        database = open_database(self._path)
        try:
            with told_outages(self._path):
                yield database.cursor()
        finally:
            database.release()

    def writer(self, position: Position | None, context: Context) -> TransactionalWriter[Any]:
        return TableWriter(
            open_database(self._path), self._table, self._keys, sink=f"{context.pipeline}/{context.stage}",
            log=context.log,
        )
