"""What a `flat_map` function gives of one row, where that is too much for memory: spooled to a file, sent on in pieces.

A row is given out whole or not at all, so its rows wait until the function is through. Few wait in a list. A row that
gives more is set apart and called again alone, its rows going to a file of the slot; once all are there, one commit
makes them count, and further ones send them on, as much at a time as queues take. `loop` calls it, `turn` sends.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from penstock.byte_files import DISK, Files
from penstock.channel.kept_files import remove_or_keep
from penstock.slot.output.expansion import SAMPLE_ROWS, Expansion, ExpansionTooLarge, Growth, row_bytes_of, size_text
from penstock.slot.records.committed_log import frame, open_log
from penstock.slot.records.record import SpillRecord

IN_MEMORY_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 128 * 1024
_CHUNK_ROWS = 512
"""Rows that suddenly are large may be this many at once in memory."""
_LOOK_BYTES = 16 * 1024 * 1024
"""The room that is left is looked at so often."""
_WHAT = "the file of a row's results"


class GivesTooMuch(Exception):
    """A row gives more than may wait in memory; it is called again alone."""


class Spooled:
    """Rows in a file; iterated as often as one likes."""

    def __init__(self, path: Path, rows: int, files: Files) -> None:
        self.path = path
        self.rows = rows
        self._files = files

    def __iter__(self) -> Iterator[Any]:
        offset = 0
        while (chunk := read_chunk(self.path, offset, self._files)) is not None:
            rows, offset = chunk
            yield from rows


class Spool:
    """The files of one stage in one slot."""

    def __init__(
        self, folder: Path, stage: int, expansion: Expansion, files: Files = DISK,
        pinned: Callable[[], bool] = lambda: False,
    ) -> None:
        """`pinned`: True while somebody copies what records speak of."""
        self._folder = folder
        self._files = files
        self._pinned = pinned
        self._expansion = expansion
        self._stage = stage
        self._alone = False
        self._made = 0
        self._given: list[SpillRecord] = []

    def clean(self, kept: Iterable[str]) -> None:
        """At the start of a life: remove what no commit speaks of."""
        names = set(kept)
        for path in self._files.beginning_with(self._folder / f"spill.{self._stage}."):
            if path.name not in names:
                remove_or_keep(self._files, path, pinned=self._pinned())

    def begin(self) -> None:
        """A single row is called now."""
        self._alone, self._given = True, []

    def end(self, *, failed: bool) -> list[SpillRecord]:
        """It is through; what it gave that stands in files, by leaf."""
        self._alone = False
        given, self._given = ([] if failed else self._given), []
        if self._made:
            self.clean(spill.name for spill in given)
        return given

    def chunk(self, name: str, offset: int) -> tuple[list[Any], int] | None:
        """As `read_chunk`, of one of its files."""
        return read_chunk(self._folder / name, offset, self._files)

    # Called by programs of rows.

    def as_rows(self, result: Iterable[Any]) -> list[Any] | Spooled:
        """What a function gave: a list, or a file of rows. Raises `GivesTooMuch` if other rows are in progress, too."""
        if isinstance(result, (list, tuple)):
            return list(result)
        rest = iter(result)
        rows = list(islice(rest, SAMPLE_ROWS))
        if len(rows) < SAMPLE_ROWS:
            return rows
        growth = self._expansion.growth()
        growth.sampled(rows)
        chunks = growth.chunks(rest)
        while growth.bytes <= IN_MEMORY_BYTES:
            chunk = next(chunks, None)
            if chunk is None:
                return rows
            rows += chunk
        if not self._alone:
            raise GivesTooMuch
        return self._spooled(chain(rows, rest), max(int(_CHUNK_BYTES * growth.rows / growth.bytes), 1))

    def give(self, leaf: int, spooled: Spooled) -> None:
        """What a leaf gets, once the row is through."""
        self._given.append(SpillRecord(spooled.path.name, leaf, 0))

    def _spooled(self, rows: Iterator[Any], chunk_rows: int) -> Spooled:
        self._made += 1
        path = self._folder / f"spill.{self._stage}.{os.getpid()}-{self._made}"
        growth, written, look_at = self._expansion.growth(), 0, _LOOK_BYTES
        # The rows count once a record names the file. Killed before that, `clean` removes it in the next life.
        log = open_log(path, _WHAT, os.O_CREAT | os.O_EXCL, self._files)
        try:
            while chunk := list(islice(rows, min(chunk_rows, _CHUNK_ROWS))):
                log.append(frame(pickle.dumps(chunk, 5)))
                row_bytes = row_bytes_of(chunk)
                chunk_rows = max(min(2 * len(chunk), int(_CHUNK_BYTES / row_bytes)), 1)
                written = log.flush()
                growth.grew(len(chunk), row_bytes * len(chunk))
                if written >= look_at:
                    look_at = written + _LOOK_BYTES
                    self._look_at_room(growth, written)
        finally:
            log.close()
        return Spooled(path, growth.rows, self._files)

    def _look_at_room(self, growth: Growth, written: int) -> None:
        left = self._files.room(self._folder)
        if written > left:  # other rows may be on their way, too, in other workers
            raise ExpansionTooLarge(
                f"{growth.told} without an end, and only {size_text(left)} are left in {self._folder}; end the "
                "function's rows sooner, make room, or choose a larger place with run_dir (`--run-dir`)"
            )


def read_chunk(path: Path, offset: int, files: Files = DISK) -> tuple[list[Any], int] | None:
    """Rows that stand at a place of a file, and the place behind them; None: its end."""
    log = open_log(path, _WHAT, files=files)
    try:
        found = log.body_at(offset)
        if found is None:
            return None
        rows: list[Any] = pickle.loads(found[0])
        return rows, found[1]
    finally:
        log.close()
