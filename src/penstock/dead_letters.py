"""Rows that failed for good: the public value, the form they are stored in, and the reader of the store.

One append-only file per run and slot, `<state_dir>/dead-letters/<pipeline>/<run_id>/<seat>.<slot>.dl`, written by
`slot/dead_letter_file.py`. A frame is length, checksums of the length and of the record, and one msgpack record.
"""

from __future__ import annotations

import heapq
import logging
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

import msgspec

from penstock.batch import UndecodedRow
from penstock.errors import NotPrivate, PenstockError
from penstock.private_files import is_ours, open_own
from penstock.run_files import refused
from penstock.state_dir import resolve_state_dir

log = logging.getLogger("penstock.dead_letters")
STORE = "dead-letters"
SUFFIX = ".dl"
FRAME_HEAD = Struct("<III")
"""Length of the payload that follows, crc32 of that length, crc32 of the payload.

The length has a checksum of its own: a damaged one would look like a frame that is being written, the last there is.
"""
_LENGTH = Struct("<I")
SHOWN_CHARACTERS = 1000
"""As much of a row's `repr` is stored; the row itself is stored whole."""
_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row that was set aside, and why."""

    id: str
    """`<run>-<stage>.<slot>-<n>`, unique in the store of its pipeline."""
    pipeline: str
    stage: str
    slot: int
    operator: str
    """Where it failed: `map(parse) clicks.py:14`."""
    time_s: float
    """Seconds since 1970."""
    attempts: int
    error: str
    """`ValueError: ...`, or what became of the worker."""
    traceback: str
    row: Any
    """The row as the stage was given it; its `repr` where it cannot be brought back in this process."""
    row_pickle: bytes = b""
    """Of a row that could not be decoded, here or in its worker: its pickle."""
    row_problem: str = ""
    """Why `row` is only the text of the row, such as a class that cannot be imported; empty where it is the row."""


class DeadLetterRecord(msgspec.Struct, kw_only=True):
    """A dead letter as it is stored. Made by `new_record`; the writer gives it its `id`."""

    id: str = ""
    pipeline: str
    stage: str
    slot: int
    operator: str
    time_s: float
    attempts: int
    error: str
    traceback: str
    row: bytes
    """Pickled; empty where the row cannot be pickled."""
    undecoded: bool = False
    """True: the pickle is never opened by itself, since that raised or killed."""
    row_json: str
    """The row for people and other programs: read without importing the user's code."""
    row_repr: str


def new_record(
    *, pipeline: str, stage: str, slot: int, operator: str, time_s: float, attempts: int, error: str, traceback: str,
    row: Any,
) -> DeadLetterRecord:
    """The record of a row that failed. Never raises for what the row is: a row that broke user code may be anything."""
    shown, undecoded = _shown(row), isinstance(row, UndecodedRow)
    return DeadLetterRecord(
        pipeline=pipeline, stage=stage, slot=slot, operator=operator, time_s=time_s, attempts=attempts,
        error=_storable(error), traceback=_storable(traceback), row=row.pickle if undecoded else _pickled(row),
        row_json=_as_json(row, shown), row_repr=shown, undecoded=undecoded,
    )


def encode_record(record: DeadLetterRecord) -> bytes:
    """A record outside of the store; for `decode_record`."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> DeadLetterRecord:
    """What `encode_record` gave."""
    return _decoder.decode(data)


def encode_frame(record: DeadLetterRecord) -> bytes:
    """The bytes that stand in a store file for one record."""
    payload = _encoder.encode(record)
    return FRAME_HEAD.pack(len(payload), crc32(_LENGTH.pack(len(payload))), crc32(payload)) + payload


def body_length(head: bytes) -> int | None:
    """Length of the payload behind a frame's head; None: the head is damaged."""
    length, check, _ = FRAME_HEAD.unpack_from(head)
    return int(length) if crc32(_LENGTH.pack(length)) == check else None


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
    """Every dead letter of a pipeline, over all its runs, oldest first. A pipeline without any gives nothing.

    Of a pipeline that runs, a letter may be seen a moment before the turn that wrote it is committed.
    """
    return map(_to_letter, read_records(pipeline, state_dir=state_dir))


def read_records(pipeline: str, *, state_dir: Path | str | None = None) -> Iterator[DeadLetterRecord]:
    """The same as they are stored: rows stay pickled, no user code is imported."""
    files = (file for run in folders_in(store_dir(state_dir) / pipeline) for file in _letters_in(run))
    return heapq.merge(*map(read_file, sorted(files)), key=attrgetter("time_s"))


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
    """The records of one file in the order written. An unfinished frame at the end is not there yet.

    Raises `PenstockError` for a frame that does not hold what was written.
    """
    # The file is opened anew for each block: a merge over the files of a thousand runs must not hold them all open.
    offset, block = 0, b""
    while True:
        frame_bytes = _frame_bytes(block)
        if len(block) < frame_bytes:
            fresh = _read_block(path, offset, frame_bytes)
            if len(fresh) == len(block):
                return
            block = fresh
            continue
        record = _decoded(block[:frame_bytes])
        if record is None:
            fresh = _read_block(path, offset, frame_bytes)
            if fresh[:frame_bytes] != block[:frame_bytes]:  # its tail was cut and written anew meanwhile
                block = fresh
                continue
            raise PenstockError(
                f"{path}: the letter at byte {offset} is damaged (its checksum differs); those before it were given, "
                "move the file away to read the others"
            )
        yield record
        offset, block = offset + frame_bytes, block[frame_bytes:]


def _frame_bytes(block: bytes) -> int:
    """Bytes of the frame that begins here; of one whose head is not whole, or damaged, those of the head."""
    body = body_length(block) if len(block) >= FRAME_HEAD.size else None
    return FRAME_HEAD.size + (body or 0)


def _decoded(frame: bytes) -> DeadLetterRecord | None:
    """None: the frame is damaged."""
    payload = frame[FRAME_HEAD.size :]
    if body_length(frame) is None or crc32(payload) != FRAME_HEAD.unpack_from(frame)[2]:
        return None
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError:
        return None


def _read_block(path: Path, offset: int, at_least: int) -> bytes:
    try:
        fd = open_own(path, os.O_RDONLY, single=True)
        try:
            return os.pread(fd, max(at_least, _BLOCK_BYTES), offset)
        finally:
            os.close(fd)
    except FileNotFoundError:  # removed while it was read: the same as its end
        return b""
    except (OSError, NotPrivate) as exc:
        raise refused(path, "the file of dead letters", exc) from exc


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
    except Exception as exc:  # unpickling runs the user's code, which may be gone or changed: the text is what is left
        return record.row_repr, _storable(f"{type(exc).__name__}: {exc}")


def _pickled(row: Any) -> bytes:
    try:
        return pickle.dumps(row, 5)
    except KeyboardInterrupt:
        raise
    except BaseException:  # pickling runs the user's code; a row without a pickled form is kept as text
        return b""


def _shown(row: Any) -> str:
    try:
        text = repr(row)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # the user's __repr__
        text = f"<{type(row).__name__}, whose repr raises {type(exc).__name__}>"
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}… ({len(text):,} characters)"
    return _storable(text)


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # lone surrogates have no UTF-8


def _as_json(row: Any, shown: str) -> str:
    try:
        return msgspec.json.encode(shown if isinstance(row, UndecodedRow) else row, enc_hook=repr).decode()
    except KeyboardInterrupt:
        raise
    except BaseException:  # keys or values without a JSON form, a repr that raises
        return msgspec.json.encode(shown).decode()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DeadLetterRecord)
