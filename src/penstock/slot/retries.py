"""Rows that wait for their next attempt: in memory by due time, and in a slot file so that they outlive the worker.

The file is a log of frames (row waits, row is through); its committed length stands in the journal. It shrinks to
nothing whenever no row waits.
"""

from __future__ import annotations

import heapq
import os
import pickle
import time
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import msgspec

from penstock.errors import NotPrivate, QueueDamaged
from penstock.private_files import open_own
from penstock.run_files import refused, write_all

MOST_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Beyond this the slot takes no new input until a retry is through."""
MOST_HELD_BYTES: Final = 4 * 1024 * 1024
"""So much waits for a verdict at most."""
_COMPACT_BYTES: Final = 1024 * 1024
_WHAT: Final = "the file of waiting retries"
_GENERATION_SHIFT: Final = 32
"""Numbers of rows are counted within a generation, so that none is ever given twice."""


class WaitingRow(msgspec.Struct, array_like=True):
    """A row between two attempts."""

    number: int
    part: int
    due_s: float
    """By `now_s`."""
    attempts: int
    row: bytes
    key: str
    """Its idempotency key, the same on every attempt."""
    ingest_ns: int
    letter: bytes = b""
    """Of a row that waits for the verdict about its stage (`trial`) rather than for a time: its dead letter."""

    wait_s: float = 0.0
    """How long it was to wait: the clock of `due_s` begins anew with the machine."""

    @property
    def size(self) -> int:
        return len(self.row) + len(self.letter)

    def load(self) -> Any:
        return pickle.loads(self.row)


class _Through(msgspec.Struct, array_like=True):
    number: int


def now_s() -> float:
    """Seconds since the machine was started, sleep included: nobody sets it, and all lives of a run share it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_encoder = msgspec.msgpack.Encoder()


class RetryFile:
    """The waiting rows of one slot."""

    def __init__(self, base: Path, generation: int, committed_length: int) -> None:
        """Load what waits by the journal; cut away what was never committed."""
        self._base = base
        # A number once blamed stays blamed in later lives: no number may come again when the log starts over.
        self.generation = generation if committed_length else generation + 1
        self._path = self._path_of(self.generation)
        for other in base.parent.glob(base.name + ".*"):
            if other != self._path and other.suffix[1:].isdecimal():  # `retries.page` is that of a stage named so
                _remove(other)
        self._length = committed_length
        self._buffer: list[bytes] = []
        self._waiting: dict[int, WaitingRow] = {}
        self._due: list[tuple[float, int]] = []
        self._bytes = 0
        self._held_bytes = 0
        self._next = self.generation << _GENERATION_SHIFT
        self._fd = self._open()
        try:
            self._load(self._committed(committed_length))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return self._bytes - self._held_bytes >= MOST_WAITING_BYTES

    def waits(self, part: int) -> bool:
        """True when a row of this stage waits for its next attempt."""
        return any(row.part == part and not row.letter for row in self._waiting.values())

    @property
    def holds(self) -> bool:
        """True when a row waits for a verdict."""
        return self._held_bytes > 0

    def may_hold(self, row: bytes) -> bool:
        """True: there is room for another row that waits for a verdict."""
        return self._held_bytes + len(row) <= MOST_HELD_BYTES

    def held(self, part: int) -> list[WaitingRow]:
        """The rows of a stage that wait for a verdict."""
        return [row for row in self._waiting.values() if row.part == part and row.letter]

    def let_go(self) -> None:
        """Another run begins, perhaps with other code: what waited for a verdict has a first attempt again."""
        for row in [row for row in self._waiting.values() if row.letter]:
            self.through(row.number)
            self.add(part=row.part, due_s=0.0, attempts=0, row=row.row, key=row.key, ingest_ns=row.ingest_ns)

    def next_due_s(self) -> float | None:
        """When the next row is due, by `now_s`."""
        while self._due and self._due[0][1] not in self._waiting:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def take_due(self, now_s: float) -> WaitingRow | None:
        """A row whose time has come; it counts as waiting until `through`."""
        due = self.next_due_s()
        if due is None or due > now_s:
            return None
        return self._waiting[heapq.heappop(self._due)[1]]

    def add(
        self, *, part: int, due_s: float, attempts: int, row: bytes, key: str, ingest_ns: int, letter: bytes = b""
    ) -> None:
        """Let a row wait. `row`: its pickle."""
        wait_s = max(due_s - now_s(), 0.0)
        waiting = WaitingRow(self._next, part, due_s, attempts, row, key, ingest_ns, letter, wait_s)
        self._next += 1
        self._remember(waiting)
        self._buffer.append(_frame(b"W", _encoder.encode(waiting)))

    def through(self, number: int) -> None:
        """A row that was taken is done with, one way or the other."""
        self._forget(number)
        self._buffer.append(_frame(b"T", _encoder.encode(_Through(number))))

    def flush(self) -> int:
        """Hand the changes to the operating system; the length to commit, together with `generation`."""
        if self._length > 2 * self._bytes + _COMPACT_BYTES:
            self._compact()
        if not self._waiting:
            # Nothing waits: the log starts over. The old frames are cut when the next ones are written.
            self._buffer.clear()
            self._length = 0
        elif self._buffer or self._length == 0:
            data = b"".join(self._buffer)
            if self._length == 0:  # a log that starts over holds what waits, and nothing of what is through
                data = b"".join(_frame(b"W", _encoder.encode(row)) for row in self._waiting.values())
            self._length += write_all(self._fd, data, self._length, path=self._path, what=_WHAT)
            self._buffer.clear()
        return self._length

    def _compact(self) -> None:
        """Go on in a new file that holds what waits; the old one stays until the next life or compaction."""
        os.close(self._fd)
        self._path_of(self.generation - 1).unlink(missing_ok=True)
        self.generation += 1
        self._path = self._path_of(self.generation)
        self._fd = self._open(os.O_TRUNC)
        self._length = 0
        self._next = self.generation << _GENERATION_SHIFT

    def _open(self, flags: int = 0) -> int:
        try:
            return open_own(self._path, os.O_RDWR | os.O_CREAT | flags)
        except (OSError, NotPrivate) as exc:
            raise refused(self._path, _WHAT, exc) from exc

    def _path_of(self, generation: int) -> Path:
        return self._base.with_name(f"{self._base.name}.{generation}")

    def close(self) -> None:
        os.close(self._fd)

    def _forget(self, number: int) -> None:
        row = self._waiting.pop(number)
        self._bytes -= row.size
        if row.letter:
            self._held_bytes -= row.size

    def _remember(self, row: WaitingRow) -> None:
        self._waiting[row.number] = row
        self._bytes += row.size
        if row.letter:
            self._held_bytes += row.size
        # What was left before the machine was started anew is not due by that clock: it waits once more at most.
        heapq.heappush(self._due, (min(row.due_s, now_s() + row.wait_s), row.number))

    def _committed(self, length: int) -> bytes:
        """What the journal knows of; the rest is cut away."""
        there = os.fstat(self._fd).st_size
        if there < length:
            raise QueueDamaged(self._path, f"the waiting retries were cut from {length} to {there} bytes")
        os.ftruncate(self._fd, length)
        return os.pread(self._fd, length, 0)

    def _load(self, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            length = int.from_bytes(data[offset : offset + 4], "little")
            body = data[offset + 8 : offset + 8 + length]
            check = int.from_bytes(data[offset + 4 : offset + 8], "little")
            if not length or len(body) != length or crc32(body) != check:
                raise QueueDamaged(self._path, f"the frame at {offset} of the waiting retries is damaged")
            try:
                self._load_frame(body)
            except (msgspec.MsgspecError, KeyError) as exc:
                raise QueueDamaged(self._path, f"the frame at {offset} of the waiting retries fits nothing") from exc
            offset += 8 + length

    def _load_frame(self, body: bytes) -> None:
        if body[:1] == b"W":
            row = msgspec.msgpack.decode(body[1:], type=WaitingRow)
            self._remember(row)
            self._next = max(self._next, row.number + 1)
        else:
            done = msgspec.msgpack.decode(body[1:], type=_Through).number
            self._forget(done)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise refused(path, _WHAT, exc) from exc


def _frame(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return len(body).to_bytes(4, "little") + crc32(body).to_bytes(4, "little") + body
