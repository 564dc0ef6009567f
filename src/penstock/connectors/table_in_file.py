"""What descriptions of tables in a file have in common, whichever database the file is of: DuckDB's, SQLite's."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from penstock.sink import Delivery, Sink
from penstock.working_directory import absolute

_NAME_BYTES = 240


class TableInFile(Sink[Any]):
    """A table that rows are written to in the transactions of their commits. All of a file's are one worker's."""

    kind: ClassVar[str] = ""
    """Of the database, as its sinks are labelled."""

    def __init__(self, database: str | Path, table: str, keys: Sequence[str], if_exists: str) -> None:
        self._given = str(database)
        self._path = absolute(self._given)
        self._table = table
        self._keys = tuple(keys)
        self._if_exists = if_exists
        self._waits = False

    @property
    def label(self) -> str:
        return f"{self.kind}-" + re.sub(r"[^a-z0-9_-]", "_", self._table.lower())

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    @property
    def recovered_delivery(self) -> Delivery:
        return Delivery.KEYED if self._keys and not self._waits else super().recovered_delivery

    @property
    def waits_for_checkpoint(self) -> bool:
        return self._waits

    def at_checkpoint(self) -> Self:
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
        found = [*self.missing(), *self._file_mistakes()]
        if what := self.table_mistake():
            found.append(what)
        if self._if_exists not in ("error", "append", "overwrite"):
            found.append(f'if_exists={self._if_exists!r}; write "error", "append" or "overwrite"')
        return found

    def missing(self) -> Sequence[str]:
        """What is not installed, or too old, and what to do about it."""
        return ()

    def table_mistake(self) -> str:
        """What is wrong with the table's name; empty: nothing."""
        return ""

    def _file_mistakes(self) -> Iterator[str]:
        if self._given.startswith(":memory:") or not self._given:
            yield f"{self._given!r} is not a file and would be lost with the worker; name a file"
        elif len(os.fsencode(os.path.basename(self._path))) > _NAME_BYTES:
            yield f"the file's name has more than {_NAME_BYTES} bytes; use a shorter one"
        elif os.path.isdir(self._path):
            yield f"{self._given} is a directory; name a file"
        elif not os.path.isdir(os.path.dirname(self._path)):
            yield f"the directory {os.path.dirname(self._path)} does not exist; create it"
