"""Rows that reach the calling process and cannot be made again there, for their pickle or their columns raise.

They are set aside as a worker would, by the default policy: dead letters, committed with the position behind them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.channel.column_batch import ColumnBatch
from penstock.dead_letter_record import new_record
from penstock.dead_letter_store import letters_file
from penstock.error_text import cut
from penstock.slot.input.batches import as_row_list
from penstock.slot.process.user_errors import one_line, user_traceback
from penstock.slot.records.dead_letter_file import DeadLetterFile

log = logging.getLogger("penstock.engine")


class CallerLetters:
    """The dead letters of `results()`: one file, whose committed length is in the caller's journal."""

    def __init__(self, folder: Path, pipeline: str, stage: str, committed: Sequence[int]) -> None:
        self._file = DeadLetterFile(letters_file(folder, stage, 0), committed)
        self._pipeline = pipeline
        self._stage = stage
        self._look = f"look at them: penstock dead-letters list {pipeline}"
        self._told = 0

    def set_aside(self, row: Any, why: BaseException | str) -> None:
        """Keep the letter until `flush`. The first one is told at once: a loop over rows shows nothing of it."""
        error = cut(why) if isinstance(why, str) else f"the row cannot be decoded: {one_line(why)}"
        self._file.append(new_record(
            pipeline=self._pipeline, stage=self._stage, slot=0, operator="decoding", time_s=time.time(), attempts=1,
            error=error, traceback="" if isinstance(why, str) else user_traceback(why), row=row,
        ))  # fmt: skip
        if not self._told:
            log.warning("%s: %s; it is set aside; %s", self._stage, error, self._look)
        self._told += 1

    def flush(self) -> list[int]:
        """Hand them to the operating system. What goes in the record."""
        return self._file.flush()

    def close(self) -> None:
        """Those of the frame in hand stay, too: who reads has passed them, or stops the run before them."""
        self.flush()
        self._file.close()
        if self._told > 1:
            log.warning("%s: %s rows were set aside; %s", self._stage, f"{self._told:,}", self._look)


def made_rows(batch: Any) -> tuple[list[Any], Mapping[int, tuple[Any, str]]]:
    """The rows of a batch of any shape, and those of columns that have no Python value, by their index."""
    return batch.rows_or_failures() if isinstance(batch, ColumnBatch) else (as_row_list(batch), {})
