"""Rows that wait for their next attempt: in memory by due time, and in a log so that they outlive the worker.

The log (`committed_log`) has a frame for each row that waits and one for each that is done. Whenever no row waits it
starts over, in a new file: what a record has counted of a file stays as it was, for whoever copies it (`kept_files`).
"""

from __future__ import annotations

import heapq
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from penstock.byte_files import DISK, Files
from penstock.channel.kept_files import remove_or_keep
from penstock.errors import QueueDamaged
from penstock.event_time import END_OF_TIME
from penstock.run_files import refused
from penstock.slot.records.committed_log import bodies_in, frame, open_log
from penstock.slot.time_and_chance import MACHINE, Clock

MOST_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Beyond this the slot takes no new input until a retry is through."""
MOST_HELD_BYTES: Final = 4 * 1024 * 1024
"""This much waits for a verdict at most."""
_COMPACT_BYTES: Final = 1024 * 1024
_WHAT: Final = "the file of waiting retries"
RETRIES: Final = "retries"
"""Their name in records."""
_GENERATION_SHIFT: Final = 32
"""Numbers of rows are counted within a generation, so that none is ever given twice."""


class WaitingRow(msgspec.Struct, array_like=True):
    """A row between two attempts."""

    number: int
    stage: int
    due_s: float
    """By `Clock.since_boot_s`."""
    attempts: int
    row: bytes
    key: str
    """Its idempotency key, the same on every attempt."""
    ingest_ns: int
    letter: bytes = b""
    """Of a row that waits for the verdict about its stage (`trial`) rather than for a time: its dead letter."""

    wait_s: float = 0.0
    """How long it was to wait: the clock of `due_s` starts at zero with the machine."""
    holds_us: int = END_OF_TIME
    """How far event time had come in its stage when it was taken: further it must not go before the row is through."""

    @property
    def size(self) -> int:
        return len(self.row) + len(self.letter)

    def load(self) -> Any:
        return pickle.loads(self.row)


class _Through(msgspec.Struct, array_like=True):
    number: int


_encoder = msgspec.msgpack.Encoder()


def generation_path(base: Path, generation: int) -> Path:
    """The file of a generation."""
    return base.with_name(f"{base.name}.{generation}")


def waiting_in(data: bytes) -> list[WaitingRow]:
    """The rows that wait, by the content of the log. Raises `ValueError` for what is none."""
    waiting: dict[int, WaitingRow] = {}
    for body in bodies_in(data):
        if body[:1] == b"W":
            row = msgspec.msgpack.decode(body[1:], type=WaitingRow)
            waiting[row.number] = row
        else:
            del waiting[msgspec.msgpack.decode(body[1:], type=_Through).number]
    return list(waiting.values())


def first_log(generation: int, rows: Sequence[WaitingRow]) -> bytes:
    """The content of the log of a generation in which these rows wait, whatever their numbers were."""
    first = generation << _GENERATION_SHIFT
    return b"".join(_waits(msgspec.structs.replace(row, number=first + n)) for n, row in enumerate(rows))


class RetryFile:
    """The waiting rows of one slot."""

    def __init__(
        self, base: Path, committed: Sequence[int] = (), clock: Clock = MACHINE, files: Files = DISK,
        pinned: Callable[[], bool] = lambda: False,
    ) -> None:
        """Load what waits by the record, which `flush` gave; cut away what was never committed.

        `pinned`: True while somebody copies what records speak of.
        """
        self.now_s = clock.since_boot_s
        """The clock of `due_s`: all lives of a run share it."""
        generation, committed_length = committed or (0, 0)
        self._base = base
        self._files = files
        self._pinned = pinned
        # A number once blamed stays blamed in later lives: no number may come again when the log starts over.
        self.generation = generation if committed_length else generation + 1
        self._path = self._path_of(self.generation)
        # Nothing in other generations counts: a compaction left them, committed or not, or the record says 0 bytes.
        for other in files.beginning_with(base.with_name(base.name + ".")):
            if other != self._path and other.suffix[1:].isdecimal():  # `retries.page` is that of a stage named so
                self._remove(other)
        self._waiting: dict[int, WaitingRow] = {}
        self._due: list[tuple[float, int]] = []
        self._bytes = 0
        self._held_bytes = 0
        self._watermarks: dict[int, dict[int, int]] = {}
        """By stage: what rows hold event time at, and how many of them."""
        self._next = self.generation << _GENERATION_SHIFT
        self._log = open_log(self._path, _WHAT, os.O_CREAT, files)
        try:
            self._resume_behind(committed_length)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return self._bytes - self._held_bytes >= MOST_WAITING_BYTES

    def waits(self, stage: int) -> bool:
        """True when a row of this stage waits for its next attempt."""
        return any(row.stage == stage and not row.letter for row in self._waiting.values())

    def held_back(self, stage: int) -> int:
        """How far event time may go in a stage, for the rows that wait there."""
        return min(self._watermarks.get(stage, ()), default=END_OF_TIME)

    @property
    def holds(self) -> bool:
        """True when a row waits for a verdict."""
        return self._held_bytes > 0

    def may_hold(self, row: bytes) -> bool:
        """True: there is room for another row that waits for a verdict."""
        return self._held_bytes + len(row) <= MOST_HELD_BYTES

    def held(self, stage: int) -> list[WaitingRow]:
        """The rows of a stage that wait for a verdict."""
        return [row for row in self._waiting.values() if row.stage == stage and row.letter]

    def let_go(self) -> None:
        """Another run begins, perhaps with other code: what waited for a verdict has a first attempt again."""
        for row in [row for row in self._waiting.values() if row.letter]:
            self.through(row.number)
            self.add(
                stage=row.stage, due_s=0.0, attempts=0, row=row.row, key=row.key, ingest_ns=row.ingest_ns,
                holds_us=row.holds_us,
            )

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
        # It stays in `_waiting` and in the log: killed during the attempt, it waits again.
        return self._waiting[heapq.heappop(self._due)[1]]

    def add(
        self, *, stage: int, due_s: float, attempts: int, row: bytes, key: str, ingest_ns: int, letter: bytes = b"",
        holds_us: int = END_OF_TIME,
    ) -> None:
        """Let a row wait. `row`: its pickle."""
        wait_s = max(due_s - self.now_s(), 0.0)
        waiting = WaitingRow(self._next, stage, due_s, attempts, row, key, ingest_ns, letter, wait_s, holds_us)
        self._next += 1
        self._remember(waiting)
        self._log.append(_waits(waiting))

    def through(self, number: int) -> None:
        """A row that was taken is done with, one way or the other."""
        self._forget(number)
        self._log.append(frame(b"T" + _encoder.encode(_Through(number))))

    def flush(self) -> list[int]:
        """Hand the changes to the operating system. What goes in the record: generation and length of the log."""
        if self._log.length > 2 * self._bytes + _COMPACT_BYTES:
            self._compact()
        if not self._waiting:
            # This record says 0 bytes; only the flush after it overwrites the old ones.
            self._log.start_over()
        elif self._log.length == 0:  # a log that starts over holds what waits, and nothing of what is done
            self._log.forget()
            if self._log.file_bytes:
                self._next_file()
            for row in self._waiting.values():
                self._log.append(_waits(row))
        length = self._log.flush()
        return [self.generation, length]

    def _compact(self) -> None:
        """Continue in a new file that holds what waits."""
        self._next_file()

    def _next_file(self) -> None:
        """Continue in a new file, empty as yet; the old one stays until the next life or the next new file."""
        # The file that is left now is the one that the committed record names, so it stays. The one before it is named
        # by no record any more.
        self._log.close()
        remove_or_keep(self._files, self._path_of(self.generation - 1), pinned=self._pinned())
        self.generation += 1
        self._path = self._path_of(self.generation)
        self._log = open_log(self._path, _WHAT, os.O_CREAT | os.O_TRUNC, self._files)
        self._next = self.generation << _GENERATION_SHIFT

    def _path_of(self, generation: int) -> Path:
        return generation_path(self._base, generation)

    def _remove(self, path: Path) -> None:
        try:
            remove_or_keep(self._files, path, pinned=self._pinned())
        except OSError as exc:
            raise refused(path, _WHAT, exc) from exc

    def close(self) -> None:
        self._log.close()

    def _forget(self, number: int) -> None:
        row = self._waiting.pop(number)
        self._bytes -= row.size
        if row.holds_us != END_OF_TIME:
            held = self._watermarks[row.stage]
            held[row.holds_us] -= 1
            if not held[row.holds_us]:
                del held[row.holds_us]
        if row.letter:
            self._held_bytes -= row.size

    def _remember(self, row: WaitingRow) -> None:
        self._waiting[row.number] = row
        self._bytes += row.size
        if row.holds_us != END_OF_TIME:
            held = self._watermarks.setdefault(row.stage, {})
            held[row.holds_us] = held.get(row.holds_us, 0) + 1
        if row.letter:
            self._held_bytes += row.size
        # The clock starts at zero with the machine, so an old `due_s` means nothing after a reboot: then the row waits
        # for its delay once more at most.
        heapq.heappush(self._due, (min(row.due_s, self.now_s() + row.wait_s), row.number))

    def _resume_behind(self, committed_length: int) -> None:
        there = self._log.file_bytes
        if there < committed_length:
            raise QueueDamaged(self._path, f"the waiting retries were cut from {committed_length} to {there} bytes")
        self._log.cut(committed_length)
        self._load()

    def _load(self) -> None:
        for offset, body in self._log.bodies():
            try:
                self._load_frame(body)
            except (msgspec.MsgspecError, KeyError) as exc:
                what = f"the frame at {offset} of the waiting retries matches no record"
                raise QueueDamaged(self._path, what) from exc

    def _load_frame(self, body: bytes) -> None:
        if body[:1] == b"W":
            row = msgspec.msgpack.decode(body[1:], type=WaitingRow)
            self._remember(row)
            self._next = max(self._next, row.number + 1)
        else:
            done = msgspec.msgpack.decode(body[1:], type=_Through).number
            self._forget(done)


def _waits(row: WaitingRow) -> bytes:
    return frame(b"W" + _encoder.encode(row))
