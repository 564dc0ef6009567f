"""The description of a DuckDB table to write: what is checked before a run, what a fresh run makes away with."""

from __future__ import annotations

import copy
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock.connectors.duckdb.database import open_database, quoted_table
from penstock.connectors.duckdb.outages import told_outages
from penstock.connectors.duckdb.schema import has_rows, table_exists
from penstock.connectors.duckdb.writer import TableWriter
from penstock.errors import OutputExists
from penstock.operator import Context
from penstock.sink import Delivery, Sink, TransactionalWriter
from penstock.source import Position
from penstock.working_directory import absolute

_NAME_BYTES = 240


class DuckdbSink(Sink[Any]):
    """What `duckdb.table(...)` gives."""

    def __init__(self, database: str | Path, table: str, keys: Sequence[str], if_exists: str) -> None:
        self._given = str(database)
        self._path = absolute(self._given)
        self._table = table
        self._keys = tuple(keys)
        self._if_exists = if_exists
        self._waits = False

    @property
    def label(self) -> str:
        return "duckdb-" + re.sub(r"[^a-z0-9_-]", "_", self._table.lower())

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    @property
    def recovered_delivery(self) -> Delivery:
        return Delivery.KEYED if self._keys and not self._waits else super().recovered_delivery

    @property
    def waits_for_checkpoint(self) -> bool:
        return self._waits

    def at_checkpoint(self) -> DuckdbSink:
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

    def check_sink(self) -> Sequence[str]:
        found = []
        missing = [package for package in ("duckdb", "pyarrow") if importlib.util.find_spec(package) is None]
        if missing:
            what = f"{missing[0]} is" if len(missing) == 1 else f"{' and '.join(missing)} are"
            found.append(f"{what} not installed; `pip install 'penstock[duckdb]'` installs what is missing")
        if self._given.startswith(":memory:") or not self._given:
            found.append(f"{self._given!r} is not a file and would be lost with the worker; name a file")
        elif len(os.fsencode(os.path.basename(self._path))) > _NAME_BYTES:
            found.append(f"the file's name has more than {_NAME_BYTES} bytes; use a shorter one")
        elif os.path.isdir(self._path):
            found.append(f"{self._given} is a directory; name a file")
        elif not os.path.isdir(os.path.dirname(self._path)):
            found.append(f"the directory {os.path.dirname(self._path)} does not exist; create it")
        if not all(self._table.split(".")) or self._table.count(".") > 1:
            found.append(f'{self._table!r} is not a table; write "visits" or "schema.visits"')
        if self._if_exists not in ("error", "append", "overwrite"):
            found.append(f'if_exists={self._if_exists!r}; write "error", "append" or "overwrite"')
        return found

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
