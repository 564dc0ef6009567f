"""A batch in work: taken from a queue or a source, worked piece by piece, committed."""

from __future__ import annotations

from typing import Any

import msgspec


class Unit(msgspec.Struct):
    """A batch in work: rows up to `done` are through the chain."""

    batch: Any
    length: int
    done: int
    ingest_ns: int
    taken_ns: int
    """CLOCK_MONOTONIC at which it was taken."""
    input: int
    sequence: int
    first_row: int
    """Number of the batch's first row within the frame (0) or within the split."""
    key: str
    """Names the batch in idempotency keys."""
    failures: dict[int, tuple[Any, BaseException | str]]
    """Rows that could not be decoded."""
    turn: int = 0
    turn_end: bool = True
    end: Any = None
    """Where its input stands behind it: of a queue the end of its frame, of a source the position."""
    port: int = 0
    """Which of the stage's incoming edges it came over."""
    split: str = ""
    """For a source: the split that it was read from."""

    @property
    def left(self) -> int:
        """Rows that are not through yet."""
        return self.length - self.done
