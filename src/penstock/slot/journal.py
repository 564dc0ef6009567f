"""The journal of a slot: what its successor must agree on, changed in one atomic step.

A small memory-mapped file with two halves and a selector. A commit writes the record into the idle half and flips
the selector with one aligned 8-byte store: it happened or it did not. A record too large for a half goes into a new,
larger file that replaces this one by a rename, which is as atomic.
"""

from __future__ import annotations

import os
from mmap import mmap
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from penstock.errors import FileUnusable, QueueDamaged
from penstock.run_files import FileBytes, FileWords, map_file, require_size

_HEAD_BYTES = 64
_MAGIC = 0x5045_4E53_4A52_4E4C
_W_MAGIC, _W_VERSION, _W_HALF, _W_SELECTOR = 0, 1, 2, 4
_VERSION = 1
_CHECK_BITS = 16
FIRST_HALF_BYTES = 8192


class InputRecord(msgspec.Struct, array_like=True):
    """Where a slot stands in one input queue."""

    head: int = 0
    sequence: int = 0
    rows: int = 0
    """Rows taken out of the queue, ever."""
    rows_done: int = 0
    """Rows done in the frame that stands at `head`."""
    ended: bool = False


class OutputRecord(msgspec.Struct, array_like=True):
    """Where a slot stands in one output queue."""

    tail: int = 0
    sequence: int = 0
    rows: int = 0


class Counts(msgspec.Struct, array_like=True):
    """Committed counts of one stage in one slot; they are what its page shows."""

    rows_in: int = 0
    rows_out: int = 0
    retries: int = 0
    dead_letters: int = 0
    skipped: int = 0
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    failed_before_success: int = 0
    succeeded: int = 0


class SplitRecord(msgspec.Struct, array_like=True):
    """Where a source stands in one split."""

    position: Any = None
    done: bool = False
    rows_done: int = 0
    """Rows done behind `position`."""
    rows: int = 0
    """Rows done, ever."""
    discovered: Any = None
    """The split itself, where it was found while running; the others are frozen in the run directory."""


class PartRecord(msgspec.Struct, array_like=True):
    """One stage of the slot."""

    inputs: list[InputRecord] = msgspec.field(default_factory=list)
    outputs: list[OutputRecord] = msgspec.field(default_factory=list)
    counts: Counts = msgspec.field(default_factory=Counts)
    splits: dict[str, SplitRecord] = msgspec.field(default_factory=dict)
    sink_position: Any = None
    turns_in: list[int] = msgspec.field(default_factory=list)
    """Per input edge behind an ordered stage: the next turn to take; else unused."""
    turn_out: int = 0
    """Number of the next turn to give out, in front of an ordered stage."""
    finished: bool = False


class Record(msgspec.Struct, array_like=True):
    """All that a successor must agree on."""

    number: int = 0
    epoch: int = 0
    dead_letter_bytes: int = 0
    retry_bytes: int = 0
    retry_generation: int = 0
    run_id: str = ""
    """A transactional sink may hold the record of an earlier run."""
    parts: list[PartRecord] = msgspec.field(default_factory=list)

    @property
    def finished(self) -> bool:
        """True: every stage of the slot is through with its input."""
        return all(part.finished for part in self.parts)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    return _decoder.decode(data)


def create_journal(path: Path, record: Record, half_bytes: int = FIRST_HALF_BYTES) -> None:
    """Make a journal that holds `record`, replacing what stands at `path` in one step."""
    data = encode_record(record)
    while 8 + len(data) > half_bytes:
        half_bytes *= 2
    temporary = path.with_name(path.name + ".new")
    try:
        _write(temporary, record, data, half_bytes)
        os.rename(temporary, path)
    except OSError as exc:
        temporary.unlink(missing_ok=True)  # half of one takes room that others need
        raise FileUnusable(path, "the journal", exc) from exc


def _write(path: Path, record: Record, data: bytes, half_bytes: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(fd, 0, _HEAD_BYTES + 2 * half_bytes)
        words = memoryview(bytearray(_HEAD_BYTES)).cast("Q")
        words[_W_MAGIC], words[_W_VERSION], words[_W_HALF] = _MAGIC, _VERSION, half_bytes
        words[_W_SELECTOR] = _selector(record.number)
        os.pwrite(fd, words, 0)
        offset = _HEAD_BYTES + (record.number & 1) * half_bytes
        os.pwrite(fd, _framed(data), offset)
    finally:
        os.close(fd)


def _selector(number: int) -> int:
    """The selector's word: one flipped bit of a bare number could select the record before, which is whole."""
    return number << _CHECK_BITS | crc32(number.to_bytes(8, "little")) & (1 << _CHECK_BITS) - 1


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + crc32(data).to_bytes(4, "little") + data


class Journal:
    """A mapped journal. One process at a time, guarded by the slot's lock."""

    _file: mmap | FileBytes
    _bytes: memoryview | FileBytes
    _words: memoryview | FileWords

    def __init__(self, path: Path, *, mapped: bool = True) -> None:
        """`mapped`: for workers, which may die of a SIGBUS; others read and write by system calls (`run_files`)."""
        self._path = path
        self._mapped = mapped
        self._open()

    def _open(self) -> None:
        if self._mapped:
            self._file = map_file(self._path, "the journal", least=_HEAD_BYTES)
            self._bytes = memoryview(self._file)
            self._words = self._bytes[:_HEAD_BYTES].cast("Q")
        else:
            self._file = self._bytes = FileBytes(self._path, "the journal", least=_HEAD_BYTES)
            self._words = self._bytes.words()
        size = len(self._bytes)
        self._half = int(self._words[_W_HALF])
        if self._words[_W_MAGIC] != _MAGIC or self._words[_W_VERSION] != _VERSION:
            raise QueueDamaged(self._path, "this is no journal of this version")
        require_size(self._path, "the journal", size, _HEAD_BYTES + 2 * self._half)

    def load(self) -> Record:
        """The last committed record. Raises `QueueDamaged`."""
        return decode_record(self.load_bytes())

    def load_bytes(self) -> bytes:
        number = int(self._words[_W_SELECTOR]) >> _CHECK_BITS
        if self._words[_W_SELECTOR] != _selector(number):
            raise QueueDamaged(self._path, "the journal's selector is damaged")
        offset = _HEAD_BYTES + (number & 1) * self._half
        length = int.from_bytes(self._bytes[offset : offset + 4], "little")
        check = int.from_bytes(self._bytes[offset + 4 : offset + 8], "little")
        data = bytes(self._bytes[offset + 8 : offset + 8 + length])
        if length > self._half - 8 or crc32(data) != check:
            raise QueueDamaged(self._path, f"record {number} of the journal is damaged")
        try:
            record = decode_record(data)
        except msgspec.MsgspecError as exc:
            raise QueueDamaged(self._path, f"record {number} of the journal cannot be read: {exc}") from exc
        if record.number != number:
            raise QueueDamaged(self._path, f"the selector says {number}, the record {record.number}")
        return data

    def commit(self, record: Record) -> None:
        """Make `record` the one that counts; its number must be one above the last."""
        data = encode_record(record)
        if 8 + len(data) > self._half:
            self.close()
            create_journal(self._path, record, 2 * self._half)
            self._open()
            return
        offset = _HEAD_BYTES + (record.number & 1) * self._half
        self._bytes[offset : offset + 8 + len(data)] = _framed(data)
        self._words[_W_SELECTOR] = _selector(record.number)

    def advance(self, record: Record) -> None:
        """Take over a newer record that a transactional sink holds; its number may be any above the last."""
        self.close()
        create_journal(self._path, record, self._half)
        self._open()

    def close(self) -> None:
        self._words.release()
        self._bytes.release()
        self._file.close()


def load_record(path: Path) -> Record:
    """The last committed record of a journal that nobody is at; for those who only look. Raises `QueueDamaged`."""
    journal = Journal(path, mapped=False)
    try:
        return journal.load()
    finally:
        journal.close()


def whole(path: Path) -> None:
    """Look at a journal's size and selector only, which hold at any moment. Raises `QueueDamaged`."""
    Journal(path, mapped=False).close()
