"""Blocks of lines from a source, gathered until a batch function has enough to be worth its call.

A call of a columnar library costs about as much for a hundred rows as for a thousand: lines of 200 bytes go through
polars a tenth sooner by 2 MiB than by half of that, and no sooner by 4. `source_input` wraps its readers
in this where the stage has batch functions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from penstock.batch import Batch, Lines
from penstock.errors import SourceDamaged
from penstock.options import Duration
from penstock.source import EndOfSplit, Position, Reader, WithRejected

MOST_ROWS = 32 * 1024
MOST_BYTES = 2 * 1024 * 1024


class GatheringReader(Reader[Any]):
    """Reads on while blocks of lines are there, and another one like the last makes no more than `rows` lines."""

    def __init__(self, reader: Reader[Any], rows: int) -> None:
        self._reader = reader
        self._rows = rows
        self._ended = False
        self._damage: SourceDamaged | None = None
        self._held: Batch[Any] | WithRejected[Any] | None = None
        """A batch of another shape, read too early: it comes next, and `position` is still before it."""
        self._position: Position = None

    @property
    def poll_after(self) -> Duration:  # type: ignore[override]
        return self._reader.poll_after

    def read(self) -> Batch[Any] | WithRejected[Any] | None:
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if self._ended:
            raise EndOfSplit
        if self._damage is not None:
            raise self._damage
        first = self._reader.read()
        return self._gathered(first) if isinstance(first, Lines) else first

    def _gathered(self, first: Lines) -> Lines:
        blocks, rows, size = [first], first.count, len(first.data)
        while rows + blocks[-1].count <= self._rows and size < MOST_BYTES and blocks[-1].data.endswith(b"\n"):
            more = self._next_lines()
            if more is None:
                break
            blocks.append(more)
            rows += more.count
            size += len(more.data)
        if len(blocks) == 1:
            return first
        number = first.first if all(block.first for block in blocks) else 0
        is_text = all(block.is_text for block in blocks)
        return Lines(b"".join(block.data for block in blocks), number, rows, is_text)

    def _next_lines(self) -> Lines | None:
        """The next block, if there is one now."""
        position = self._reader.position()
        try:
            more = self._reader.read()
        except EndOfSplit:  # what was read before comes first
            self._ended = True
            return None
        except SourceDamaged as damage:
            self._damage = damage
            return None
        if more is None or isinstance(more, Lines):
            return more
        self._held, self._position = more, position
        return None

    def watermark(self) -> datetime | float | None:
        return self._reader.watermark() if self._held is None else None

    def position(self) -> Position:
        return self._reader.position() if self._held is None else self._position

    def fileno(self) -> int | None:
        return self._reader.fileno()

    def acknowledge(self, position: Position) -> None:
        self._reader.acknowledge(position)

    def close(self) -> None:
        self._reader.close()
