"""The files of dead letters: what is in a frame, and reading frames forward and backward.

A frame is a head, a summary, the row, and its own length once more, by which files are read from their end. A summary
is small whatever the row is, and says how many letters of each stage its file has up to there: so listing the newest
letters takes no look at the others, nor at any row. `slot/records/dead_letter_file.py` writes them,
`dead_letter_store.py` finds and reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zlib import crc32

import msgspec

from penstock.byte_files import DISK, Files
from penstock.errors import NotPrivate, PenstockError
from penstock.run_files import refused

_LENGTHS = Struct("<II")
_HEAD = Struct("<IIIII")
"""Lengths of summary and row, the crc32 of these two, and that of summary and row.

The lengths have a checksum of their own: damaged ones would look like a frame that is being written, the last there is.
"""
_TAIL = Struct("<I")
_BLOCK_BYTES = 64 * 1024


class LetterSummary(msgspec.Struct, kw_only=True):
    """All of a letter but its row."""

    id: str = ""
    pipeline: str
    stage: str
    slot: int
    operator: str
    time_s: float
    attempts: int
    error: str
    traceback: str
    undecoded: bool = False
    """True: the pickle is never opened by itself, since that raised or killed."""
    row_repr: str
    so_far: dict[str, int] = {}
    """Letters of each stage in its file, up to this one."""


class LetterRow(msgspec.Struct, kw_only=True):
    """The row of a letter."""

    row: bytes
    """Pickled; empty where the row cannot be pickled."""
    row_json: str
    """The row for people and other programs: read without importing the user's code."""


class DeadLetterRecord(LetterSummary, kw_only=True):
    """A dead letter as it is stored. Made by `new_record`; the writer gives it its `id`."""

    row: bytes
    row_json: str


class Frame(msgspec.Struct, frozen=True):
    """Where a letter stands, and its summary."""

    path: Path
    offset: int
    bytes: int
    summary: LetterSummary
    files: Files = DISK

    def record(self) -> DeadLetterRecord:
        """The letter with its row. Raises `PenstockError` for a row that is not what was written."""
        window = _Window(self.path, self.files)
        head = _HEAD.unpack(window.at(self.offset, _HEAD.size))
        data = window.at(self.offset + _HEAD.size + head[0], head[1] + _TAIL.size)
        data, tail = data[: head[1]], data[head[1] :]
        if len(data) != head[1] or crc32(data) != head[4] or tail != _TAIL.pack(self.bytes):
            raise _damaged(self.path, self.offset)
        row = _row_decoder.decode(data)
        return DeadLetterRecord(**msgspec.structs.asdict(self.summary), row=row.row, row_json=row.row_json)


def encode_frame(record: DeadLetterRecord) -> bytes:
    """The bytes that stand in a file for one letter."""
    summary = _encoder.encode(msgspec.convert(record, LetterSummary, from_attributes=True))
    row = _encoder.encode(LetterRow(row=record.row, row_json=record.row_json))
    lengths = _LENGTHS.pack(len(summary), len(row))
    head = _HEAD.pack(len(summary), len(row), crc32(lengths), crc32(summary), crc32(row))
    return head + summary + row + _TAIL.pack(_bytes_of(len(summary), len(row)))


def read_forward(path: Path, files: Files = DISK) -> Iterator[Frame]:
    """In the order written. An unfinished frame at the end is not there yet.

    Raises `PenstockError` for a frame that does not hold what was written. The file is opened again for each block: a
    merge over the files of a thousand runs must not hold them all open.
    """
    window, offset = _Window(path, files), 0
    while (frame := _frame_at(window, offset)) is not None:
        yield frame
        offset += frame.bytes


def read_backward(path: Path, end: int | None = None, files: Files = DISK) -> Iterator[Frame] | None:
    """From the end, the newest first; None: what is there is no whole frame, or damaged, so read forward."""
    window = _Window(path, files)
    window.at(0, 0, anew=True)
    last = _frame_before(window, window.size if end is None else end)
    return None if last is None else _backward_from(window, last)


def _backward_from(window: _Window, frame: Frame) -> Iterator[Frame]:
    while True:
        yield frame
        if not frame.offset:
            return
        before = _frame_before(window, frame.offset)
        if before is None:
            raise _damaged(window.path, frame.offset, "before")
        frame = before


def whole_frames(path: Path, end: int, files: Files = DISK) -> tuple[dict[str, int], int, bool]:
    """(letters by stage, bytes of the whole frames, whether all is sound) of a file up to `end`."""
    counts: dict[str, int] = {}
    whole = 0
    try:
        for frame in read_forward(path, files):
            if frame.offset + frame.bytes > end:
                break
            whole = frame.offset + frame.bytes
            counts[frame.summary.stage] = counts.get(frame.summary.stage, 0) + 1
    except PenstockError:  # who reads the store is told
        return counts, whole, False
    return counts, whole, True


class _Window:
    """A block of a file, and how long the file was when it was read."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self.files = files
        self.size = 0
        self._start = 0
        self._block = b""

    def at(self, offset: int, length: int, *, anew: bool = False, ends: bool = False) -> bytes:
        """Bytes of the file, fewer at its end. `anew`: as they are now; `ends`: what is asked for next lies before."""
        begin = offset - self._start
        if anew or begin < 0 or begin + length > len(self._block):
            start = max(offset + length - _BLOCK_BYTES, 0) if ends else offset
            start = min(start, offset)
            self._start, self._block = start, self._read(start, max(offset + length - start, _BLOCK_BYTES))
            begin = offset - start
        return self._block[begin : begin + length]

    def _read(self, start: int, length: int) -> bytes:
        try:
            file = self.files.open(self.path, os.O_RDONLY, single=True)
            try:
                self.size = file.size
                return file.pread(length, start)
            finally:
                file.close()
        except FileNotFoundError:  # removed while it was read: the same as its end
            self.size = 0
            return b""
        except (OSError, NotPrivate) as exc:
            raise refused(self.path, "the file of dead letters", exc) from exc


def _frame_at(window: _Window, offset: int) -> Frame | None:
    """None: there is no whole frame yet."""
    for anew in (False, True):
        head = window.at(offset, _HEAD.size, anew=anew)
        if len(head) < _HEAD.size:
            continue
        lengths = _lengths(head)
        if lengths is None:
            continue
        size = _bytes_of(*lengths)
        if offset + size > window.size:
            continue
        summary = _summary(head, window.at(offset + _HEAD.size, lengths[0]))
        if summary is not None:
            return Frame(window.path, offset, size, summary, window.files)
    if len(head) < _HEAD.size or (lengths is not None and offset + size > window.size):
        return None
    raise _damaged(window.path, offset)


def _frame_before(window: _Window, end: int) -> Frame | None:
    """The frame that ends there; None: none does, or it is damaged."""
    tail = window.at(end - _TAIL.size, _TAIL.size, ends=True) if end >= _TAIL.size else b""
    size = int(_TAIL.unpack(tail)[0]) if len(tail) == _TAIL.size else 0
    if not _HEAD.size + _TAIL.size <= size <= end:
        return None
    head = window.at(end - size, _HEAD.size, ends=True)
    lengths = _lengths(head) if len(head) == _HEAD.size else None
    if lengths is None or _bytes_of(*lengths) != size:
        return None
    summary = _summary(head, window.at(end - size + _HEAD.size, lengths[0], ends=True))
    return None if summary is None else Frame(window.path, end - size, size, summary, window.files)


def _lengths(head: bytes) -> tuple[int, int] | None:
    """Of summary and row; None: the head is damaged."""
    summary, row, check = _HEAD.unpack(head)[:3]
    return (summary, row) if crc32(head[: _LENGTHS.size]) == check else None


def _bytes_of(summary: int, row: int) -> int:
    return _HEAD.size + summary + row + _TAIL.size


def _summary(head: bytes, data: bytes) -> LetterSummary | None:
    """None: it is damaged."""
    if crc32(data) != _HEAD.unpack(head)[3]:
        return None
    try:
        return _summary_decoder.decode(data)
    except msgspec.MsgspecError:
        return None


def _damaged(path: Path, offset: int, where: str = "at") -> PenstockError:
    return PenstockError(
        f"{path}: the letter {where} byte {offset} is damaged (its checksum differs); those before it were shown; "
        "move the file away to read the others"
    )


_encoder = msgspec.msgpack.Encoder()
_summary_decoder = msgspec.msgpack.Decoder(LetterSummary)
_row_decoder = msgspec.msgpack.Decoder(LetterRow)
