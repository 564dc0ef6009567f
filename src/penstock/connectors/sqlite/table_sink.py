"""The description of an SQLite table to write: what is checked before a run, what a fresh run makes away with."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any, ClassVar

from penstock.connectors.sqlite.database import connect, quoted, told
from penstock.connectors.sqlite.writer import TableWriter, columns_of
from penstock.connectors.table_in_file import TableInFile
from penstock.errors import OutputExists
from penstock.operator import Context
from penstock.sink import TransactionalWriter
from penstock.source import Position

_OLDEST = (3, 37, 0)
"""The first with tables that refuse what does not fit."""


class SqliteSink(TableInFile):
    """What `sqlite.table(...)` gives."""

    kind: ClassVar[str] = "sqlite"

    @property
    def modules(self) -> Sequence[str]:
        return ("sqlite3",)

    def missing(self) -> Sequence[str]:
        if sqlite3.sqlite_version_info >= _OLDEST:
            return ()
        return (f"SQLite {sqlite3.sqlite_version} is too old; Python must come with 3.37 or later",)

    def table_mistake(self) -> str:
        bad = not self._table or self._table.startswith("sqlite_")
        return f"{self._table!r} is not a name for a table" if bad else ""

    def refuse(self) -> None:
        if self._if_exists == "error" and os.path.exists(self._path):
            with closing(connect(self._path)) as connection, told(self._path):
                filled = columns_of(connection, self._table) and connection.execute(
                    f"SELECT 1 FROM {quoted(self._table)} LIMIT 1"
                ).fetchall()
                if filled:
                    raise OutputExists(self.target)

    def prepare(self) -> None:
        if self._if_exists == "overwrite" and os.path.exists(self._path):
            with closing(connect(self._path)) as connection, told(self._path):
                connection.execute(f"DROP TABLE IF EXISTS {quoted(self._table)}")

    def writer(self, position: Position | None, context: Context) -> TransactionalWriter[Any]:
        return TableWriter(self._path, self._table, self._keys, sink=f"{context.pipeline}/{context.stage}")
