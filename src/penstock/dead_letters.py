"""Rows that failed for good, as users see them: the public value, and the reader of the store (`dead_letter_store`)."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letter_frames import DeadLetterRecord
from penstock.dead_letter_record import storable
from penstock.dead_letter_store import read_records
from penstock.error_text import cut


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row that was set aside, and why."""

    id: str
    """`<run>-<stage>.<slot>-<n>`, unique in the store of its pipeline."""
    pipeline: str
    stage: str
    slot: int
    operator: str
    """Where the row failed: `map(parse) clicks.py:14`."""
    time_s: float
    """Seconds since 1970."""
    attempts: int
    error: str
    """`ValueError: ...`, or what happened to the worker."""
    traceback: str
    row: Any
    """The row as it entered the stage; its `repr` if it cannot be unpickled in this process."""
    row_pickle: bytes = b""
    """The pickle of a row that could not be unpickled, here or in its worker."""
    row_problem: str = ""
    """Why `row` is only text, such as a class that cannot be imported; empty if `row` is the row itself."""


def read_dead_letters(pipeline: str, *, state_dir: Path | str | None = None) -> Iterator[DeadLetter]:
    """Return every dead letter of a pipeline, from all its runs, oldest first. There may be none.

    While the pipeline runs, a letter may appear a moment before the turn that wrote it is committed.
    """
    return map(letter_of, read_records(pipeline, state_dir=state_dir))


def letter_of(record: DeadLetterRecord) -> DeadLetter:
    """A letter as users see it. Its row is unpickled."""
    row, problem = _brought_back(record)
    return DeadLetter(
        record.id, record.pipeline, record.stage, record.slot, record.operator, record.time_s, record.attempts,
        record.error, record.traceback, row, record.row if problem else b"", problem,
    )


def _brought_back(record: DeadLetterRecord) -> tuple[Any, str]:
    """The row, or its text and why it is no more than that."""
    if record.undecoded:
        return record.row_repr, "the row could not be decoded in its worker"
    if not record.row:
        return record.row_repr, "the row cannot be pickled"
    try:
        return pickle.loads(record.row), ""
    except BaseException as exc:  # unpickling runs the user's code, gone or changed by now: the text is left
        if is_ctrl_c(exc):
            raise
        return record.row_repr, storable(_words(exc))


def _words(exc: BaseException) -> str:
    try:
        return cut(f"{type(exc).__name__}: {exc}")
    except BaseException as worse:  # its text is the user's code
        if is_ctrl_c(worse):
            raise
        return f"{type(exc).__name__}, whose text is unavailable ({type(worse).__name__})"
