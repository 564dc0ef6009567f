"""What a stage takes from a queue or a source at once: a batch, processed piece by piece, and committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.event_time import NO_WATERMARK
from penstock.slot.input.batches import batch_slice


class Intake(msgspec.Struct):
    """A batch in progress: rows up to `done` are through the chain."""

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
    watermark: int = NO_WATERMARK
    """What its frame says of event time, once its rows are through."""
    idle: bool = False
    """Its frame says that the sender waits for nothing."""
    decode_again: Callable[[], Any] | None = None
    """Makes `batch` once more of what came through the queue; None: of a source."""
    _untouched: Any = None

    @property
    def left(self) -> int:
        """Rows that are not through yet."""
        return self.length - self.done

    def untouched(self) -> Any:
        """The batch as it came: functions may have changed its rows in place. Not to be handed to functions itself."""
        if self._untouched is None:
            self._untouched = self.made_anew()
        return self._untouched

    def made_anew(self) -> Any:
        """The same, to be handed to functions. Of a source, whose rows exist once, they are as they are now."""
        if self.decode_again is None or not isinstance(self.batch, list):
            return self.batch  # rows of lines and of columns are made for each call
        return self.decode_again()

    def rows_anew(self, rows: int) -> Any:
        """The next rows that are not through, to be handed to functions once more."""
        return batch_slice(self.made_anew(), self.done, self.done + rows)
