"""Rows that failed for good: the public value, the form they are stored in, and the reader of the store.

One append-only file per run and slot, `<state_dir>/dead-letters/<pipeline>/<run_id>/<seat>.<slot>.dl`, written by
`slot/dead_letter_file.py` in `letter_frames`.
"""

from __future__ import annotations

import heapq
import logging
import os
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from penstock.batch import UndecodedRow
from penstock.ctrl_c import is_ctrl_c
from penstock.error_text import ERROR_CHARACTERS, TRACEBACK_CHARACTERS, cut
from penstock.errors import NotPrivate
from penstock.letter_frames import DeadLetterRecord, Frame, read_backward, read_forward
from penstock.private_files import is_ours, open_own
from penstock.run_files import refused
from penstock.state_dir import resolve_state_dir

log = logging.getLogger("penstock.dead_letters")
STORE = "dead-letters"
SUFFIX = ".dl"
SHOWN_CHARACTERS = 1000
"""As much of a row's `repr` is stored; the row itself is stored whole."""


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


def new_record(
    *, pipeline: str, stage: str, slot: int, operator: str, time_s: float, attempts: int, error: str, traceback: str,
    row: Any,
) -> DeadLetterRecord:
    """The record of a row that failed. Never raises for what the row is: a row that broke user code may be anything."""
    shown, undecoded = _shown(row), isinstance(row, UndecodedRow)
    return DeadLetterRecord(
        pipeline=pipeline, stage=stage, slot=slot, operator=operator, time_s=time_s, attempts=attempts,
        error=_storable(cut(error, 2 * ERROR_CHARACTERS)),
        traceback=_storable(cut(traceback, TRACEBACK_CHARACTERS)),
        row=row.pickle if undecoded else _pickled(row),
        row_json=_as_json(row, shown), row_repr=shown, undecoded=undecoded,
    )


def encode_record(record: DeadLetterRecord) -> bytes:
    """A record outside of the store; for `decode_record`."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> DeadLetterRecord:
    """What `encode_record` gave."""
    return _decoder.decode(data)




def store_dir(state_dir: Path | str | None) -> Path:
    """The directory that holds one directory per pipeline."""
    return resolve_state_dir(state_dir) / STORE


def letters_folder(state_dir: Path | str | None, pipeline: str, run_id: str) -> Path:
    """The folder of one run's dead letters."""
    return store_dir(state_dir) / pipeline / run_id


def letters_file(folder: Path, seat: str, slot: int) -> Path:
    """The file in it that one slot writes."""
    return folder / f"{seat}.{slot}{SUFFIX}"


def read_dead_letters(pipeline: str, *, state_dir: Path | str | None = None) -> Iterator[DeadLetter]:
    """Return every dead letter of a pipeline, from all its runs, oldest first. There may be none.

    While the pipeline runs, a letter may appear a moment before the turn that wrote it is committed.
    """
    return map(_to_letter, read_records(pipeline, state_dir=state_dir))


def read_records(pipeline: str, *, state_dir: Path | str | None = None) -> Iterator[DeadLetterRecord]:
    """The same as they are stored: rows stay pickled, no user code is imported."""
    return (frame.record() for frame in read_frames(pipeline, state_dir=state_dir))


def read_frames(pipeline: str, *, state_dir: Path | str | None = None) -> Iterator[Frame]:
    """The same without their rows."""
    files = letter_files(pipeline, state_dir=state_dir)
    return heapq.merge(*map(read_forward, files), key=_time_of)


class Newest:
    """The letters of a pipeline from the newest on, and how many there are, without a look at the others."""

    def __init__(self, pipeline: str, *, state_dir: Path | str | None = None) -> None:
        self.by_stage: Counter[str] = Counter()
        self._files: list[Iterator[Frame]] = []
        for path in letter_files(pipeline, state_dir=state_dir):
            self._open(path)

    def _open(self, path: Path) -> None:
        found = read_backward(path)
        last = None if found is None else next(found)
        if found is None or last is None or not last.summary.so_far:
            # Being written, or cut in the middle of a letter: all of it is looked at, once.
            whole = 0
            for frame in read_forward(path):
                whole = frame.offset + frame.bytes
                self.by_stage[frame.summary.stage] += 1
            self._files.append(read_backward(path, whole) or iter(()))
        else:
            self.by_stage.update(last.summary.so_far)
            self._files.append(chain((last,), found))

    def frames(self) -> Iterator[Frame]:
        """All of them, newest first."""
        return heapq.merge(*self._files, key=_time_of, reverse=True)


def letter_files(pipeline: str, *, state_dir: Path | str | None = None) -> list[Path]:
    """The files that hold a pipeline's letters."""
    return sorted(file for run in folders_in(store_dir(state_dir) / pipeline) for file in _letters_in(run))


def _time_of(frame: Frame) -> float:
    return frame.summary.time_s


def folders_in(folder: Path) -> list[Path]:
    """Those of this user, sorted; links and what others have put there are passed over."""
    try:
        return sorted(path for path in folder.iterdir() if is_ours(path, tighten=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise refused(folder, "the folder of dead letters", exc) from exc


def _letters_in(run: Path) -> Iterator[Path]:
    """A letter's row is unpickled, which can do anything: so only what nobody else can have written is a letter."""
    for path in run.glob(f"*{SUFFIX}"):
        try:
            os.close(open_own(path, os.O_RDONLY, single=True))
        except FileNotFoundError:
            continue
        except (OSError, NotPrivate) as exc:
            why = exc.why if isinstance(exc, NotPrivate) else exc.strerror
            log.warning("%s %s: it is left out of the dead letters", path, why)
        else:
            yield path


def read_file(path: Path) -> Iterator[DeadLetterRecord]:
    """The records of one file in the order written. Raises `PenstockError` for one that is not what was written."""
    return (frame.record() for frame in read_forward(path))


def _to_letter(record: DeadLetterRecord) -> DeadLetter:
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
        return record.row_repr, _storable(_words(exc))


def _pickled(row: Any) -> bytes:
    try:
        return pickle.dumps(row, 5)
    except BaseException as exc:  # pickling runs the user's code; a row without a pickled form is kept as text
        if is_ctrl_c(exc):
            raise
        return b""


def _shown(row: Any) -> str:
    try:
        text = repr(row)
    except BaseException as exc:  # the user's __repr__
        if is_ctrl_c(exc):
            raise
        text = f"<{type(row).__name__}, whose repr raises {type(exc).__name__}>"
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}… ({len(text):,} characters)"
    return _storable(text)


def _words(exc: BaseException) -> str:
    try:
        return cut(f"{type(exc).__name__}: {exc}")
    except BaseException as worse:  # its text is the user's code
        if is_ctrl_c(worse):
            raise
        return f"{type(exc).__name__}, whose text cannot be had ({type(worse).__name__})"


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates have no UTF-8


def _as_json(row: Any, shown: str) -> str:
    try:
        return msgspec.json.encode(shown if isinstance(row, UndecodedRow) else row, enc_hook=_shown).decode()
    except BaseException as exc:  # keys or values without a JSON form, a repr that raises
        if is_ctrl_c(exc):
            raise
        return msgspec.json.encode(shown).decode()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DeadLetterRecord)
