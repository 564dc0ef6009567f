"""The journal of a slot: what its successor must agree on, changed in one atomic step.

A small shared file with two halves and a selector. A commit writes the record into the idle half and flips
the selector with one aligned 8-byte store: it happened or it did not. A record too large for a half goes into a new,
larger file that replaces this one by a rename, which is as atomic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from penstock.byte_files import DISK, Files, make_file
from penstock.errors import FileUnusable, QueueDamaged
from penstock.run_files import require_size
from penstock.shared_file import Opening, by_calls
from penstock.slot.records.record import RECORD_VERSION, Record, decode_record, encode_record

_HEAD_BYTES: Final = 64
_MAGIC: Final = 0x5045_4E53_4A52_4E4C
_W_MAGIC: Final = 0
_W_VERSION: Final = 1
_W_HALF: Final = 2
_W_SELECTOR: Final = 4
_VERSION: Final = RECORD_VERSION
_CHECK_BITS: Final = 16
FIRST_HALF_BYTES: Final = 8192


def create_journal(
    path: Path, record: Record, half_bytes: int = FIRST_HALF_BYTES, files: Files = DISK
) -> None:
    """Make a journal that holds `record`, replacing what is at `path` in one step."""
    data = encode_record(record)
    while 8 + len(data) > half_bytes:
        half_bytes *= 2
    # Whole before it has its name: whoever opens the path, whenever, finds the old journal or the new one.
    temporary = path.with_name(path.name + ".new")
    try:
        _write(files, temporary, record, data, half_bytes)
        files.rename(temporary, path)
    except OSError as exc:
        files.remove(temporary)  # half of one takes room that others need
        raise FileUnusable(path, "the journal", exc) from exc


def _write(files: Files, path: Path, record: Record, data: bytes, half_bytes: int) -> None:
    words = memoryview(bytearray(_HEAD_BYTES)).cast("Q")
    words[_W_MAGIC], words[_W_VERSION], words[_W_HALF] = _MAGIC, _VERSION, half_bytes
    words[_W_SELECTOR] = _selector(record.number)
    before = bytes((record.number & 1) * half_bytes)
    make_file(files, path, _HEAD_BYTES + 2 * half_bytes, words.tobytes() + before + _framed(data), anew=True)


def _selector(number: int) -> int:
    """The selector's word: one flipped bit of a bare number could select the record before, which is whole."""
    return number << _CHECK_BITS | crc32(number.to_bytes(8, "little")) & (1 << _CHECK_BITS) - 1


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + crc32(data).to_bytes(4, "little") + data


class Journal:
    """An open journal. One process at a time, guarded by the slot's lock."""

    def __init__(self, path: Path, opening: Opening, files: Files = DISK) -> None:
        self._path = path
        self._opening = opening
        self._files = files
        self._open()

    def _open(self) -> None:
        self._file = self._opening(self._path, "the journal", least=_HEAD_BYTES)
        self._words, self._data = self._file.words, self._file.data
        self._half = int(self._words[_W_HALF])
        try:
            if self._words[_W_MAGIC] != _MAGIC:
                raise QueueDamaged(self._path, "this is not a journal")
            if self._words[_W_VERSION] != _VERSION:
                found = int(self._words[_W_VERSION])
                raise QueueDamaged(
                    self._path, f"the journal has format {found}, and this version of penstock reads format "
                    f"{_VERSION}: finish the run with the version that began it"
                )
            require_size(self._path, "the journal", self._file.size, _HEAD_BYTES + 2 * self._half)
        except QueueDamaged:
            self._file.close()
            raise

    def load(self) -> Record:
        """The last committed record. Raises `QueueDamaged`."""
        return decode_record(self.load_bytes())

    @property
    def number(self) -> int:
        """That of the last committed record. Raises `QueueDamaged`."""
        word = int(self._words[_W_SELECTOR])
        number = word >> _CHECK_BITS
        if word != _selector(number):
            raise QueueDamaged(self._path, "the journal's selector is damaged")
        return number

    def load_bytes(self) -> bytes:
        number = self.number
        offset = _HEAD_BYTES + (number & 1) * self._half
        # No crash leaves a record damaged that the selector names: its bytes were there before the selector was.
        length = int.from_bytes(self._data[offset : offset + 4], "little")
        check = int.from_bytes(self._data[offset + 4 : offset + 8], "little")
        data = bytes(self._data[offset + 8 : offset + 8 + length])
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
            create_journal(self._path, record, 2 * self._half, self._files)
            self._open()
            return
        # The idle half: numbers alternate between the two. Killed while it is written: the other one still counts.
        offset = _HEAD_BYTES + (record.number & 1) * self._half
        self._data[offset : offset + 8 + len(data)] = _framed(data)
        # The flip, one aligned store, and after the record's bytes: stores stay in order, and those of a process that
        # was killed stay in the shared page.
        self._words[_W_SELECTOR] = _selector(record.number)

    def advance(self, record: Record) -> None:
        """Take over a newer record that a transactional sink holds; its number may be any above the last."""
        # A new file: a number that was skipped may fall on the half of the record that counts.
        self.close()
        create_journal(self._path, record, self._half, self._files)
        self._open()

    def close(self) -> None:
        self._file.close()


def load_record(path: Path, opening: Opening = by_calls) -> Record:
    """The last committed record of a journal that nobody is at; for those who only look. Raises `QueueDamaged`."""
    journal = Journal(path, opening)
    try:
        return journal.load()
    finally:
        journal.close()


def load_number(path: Path, opening: Opening = by_calls) -> int:
    """The number of the last committed record, without a look at the record. Raises `QueueDamaged`."""
    journal = Journal(path, opening)
    try:
        return journal.number
    finally:
        journal.close()


def require_whole(path: Path) -> None:
    """Look at a journal's size and selector only, which hold at any moment. Raises `QueueDamaged`."""
    Journal(path, by_calls).close()
