"""The description of an SQLite table to write: what is checked before a run, what a fresh run makes away with."""

from __future__ import annotations

import copy
import os
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from penstock.connectors.sqlite.database import connect, quoted, told
from penstock.connectors.sqlite.writer import TableWriter, columns_of
from penstock.errors import OutputExists
from penstock.operator import Context
from penstock.sink import Delivery, Sink, TransactionalWriter
from penstock.source import Position
from penstock.working_directory import absolute

_OLDEST = (3, 37, 0)
"""The first with tables that refuse what does not fit."""


class SqliteSink(Sink[Any]):
    """What `sqlite.table(...)` gives."""

    def __init__(self, database: str | Path, table: str, keys: Sequence[str], if_exists: str) -> None:
        self._given = str(database)
        self._path = absolute(self._given)
        self._table = table
        self._keys = tuple(keys)
        self._if_exists = if_exists
        self._waits = False

    @property
    def label(self) -> str:
        return "sqlite-" + re.sub(r"[^a-z0-9_-]", "_", self._table.lower())

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    @property
    def recovered_delivery(self) -> Delivery:
        return Delivery.KEYED if self._keys and not self._waits else super().recovered_delivery

    @property
    def waits_for_checkpoint(self) -> bool:
        return self._waits

    def at_checkpoint(self) -> SqliteSink:
        waiting = copy.copy(self)
        waiting._waits = True
        return waiting

    @property
    def shared_slot(self) -> str | None:
        return os.path.realpath(self._path)

    @property
    def claims(self) -> Sequence[str]:
        return (os.path.realpath(self._path),)

    @property
    def target(self) -> str:
        return f"table {self._table} in {self._given}"

    @property
    def modules(self) -> Sequence[str]:
        return ("sqlite3",)

    def check_sink(self) -> Sequence[str]:
        found = []
        if sqlite3.sqlite_version_info < _OLDEST:
            found.append(f"SQLite {sqlite3.sqlite_version} is too old; Python must come with 3.37 or later")
        if self._given.startswith(":memory:") or not self._given:
            found.append(f"{self._given!r} is not a file and would be lost with the worker; name a file")
        elif os.path.isdir(self._path):
            found.append(f"{self._given} is a directory; name a file")
        elif not os.path.isdir(os.path.dirname(self._path)):
            found.append(f"the directory {os.path.dirname(self._path)} does not exist; create it")
        if not self._table or self._table.startswith("sqlite_"):
            found.append(f"{self._table!r} is not a name for a table")
        if self._if_exists not in ("error", "append", "overwrite"):
            found.append(f'if_exists={self._if_exists!r}; write "error", "append" or "overwrite"')
        return found

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
