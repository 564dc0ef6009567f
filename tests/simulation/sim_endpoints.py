"""What the simulated pipelines read, call and write. All of it asks the machine that runs now, by `machine()`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

import penstock as ps
from penstock.batch import WrittenLines, rows_of
from penstock.event_time import END_OF_TIME
from penstock.operator import Context
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator
from penstock.operators.keyed_state import Entry, StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.sink import Delivery, RowsRejected, Sink, TransactionalWriter, Writer, WrittenText
from penstock.source import EndOfSplit, Reader, Source

if TYPE_CHECKING:
    from sim_machine import Machine

Row = tuple[int, int]
"""A number, which says all about its row, and the number of the call that made it, which no other call has."""
_now: list[Machine] = []


def machine() -> Machine:
    """The one that runs now."""
    return _now[-1]


def use(now: Machine | None) -> None:
    """From now on it is this one."""
    _now.clear()
    if now is not None:
        _now.append(now)


# The source.


@dataclass(frozen=True)
class Numbers(Source[Row]):
    """As many numbers as the run has, from `first` on; each worker has a part of its own."""

    first: int
    parts: int

    @property
    def label(self) -> str:
        return "numbers"

    @property
    def row_type(self) -> Any:
        return Row

    def splits(self) -> Mapping[str, Any]:
        size = machine().rows
        borders = [self.first + size * part // self.parts for part in range(self.parts + 1)]
        return {f"part-{n}": [borders[n], borders[n + 1]] for n in range(self.parts)}

    def open(self, split: Any, position: Any, context: Context) -> Reader[Row]:
        machine().may_fail("the source")
        return _NumbersReader(split, split[0] if position is None else position)


class _NumbersReader(Reader[Row]):
    poll_after = "3ms"

    def __init__(self, split: list[int], next_one: int) -> None:
        self._split = tuple(split)
        self._next = next_one
        self._stop = split[1]

    def read(self) -> list[Row] | None:
        here = machine()
        here.schedule.point()
        here.may_fail("the source")
        if self._next >= self._stop:
            raise EndOfSplit
        if here.random.random() < here.source_waits:
            return None
        count = min(here.random.choice((1, 1, 2, 3, 5, 9, 30)), self._stop - self._next)
        rows = [(number, 0) for number in range(self._next, self._next + count)]
        self._next += count
        return rows

    def position(self) -> int:
        return self._next

    def acknowledge(self, position: int) -> None:
        machine().acknowledged(self._split, position)


# Functions.


class _Called:
    """One object for all slots, which are in one process here: it knows nothing of its slot."""

    stage: str

    def open(self, context: ps.Context) -> None:
        machine().may_fail(f"opening {self.stage}")


@dataclass(frozen=True)
class Maps(_Called):
    """One row for each."""

    stage: str

    def __call__(self, row: Row) -> Row:
        return row[0], machine().called(self.stage, row)


@dataclass(frozen=True)
class MapsMany(_Called):
    """One row for each, many at a time; one that fails fails the call."""

    stage: str

    def __call__(self, rows: list[Row]) -> list[Row]:
        here = machine()
        return [(row[0], here.called(self.stage, row)) for row in rows]


@dataclass(frozen=True)
class Passes(_Called):
    """Some of them."""

    stage: str

    def __call__(self, row: Row) -> bool:
        return machine().fates.passes(self.stage, row[0])


@dataclass(frozen=True)
class Expands(_Called):
    """None, one or several for each."""

    stage: str

    def __call__(self, row: Row) -> Iterator[Row]:
        here = machine()
        nonce = here.called(self.stage, row)
        for number in here.fates.expanded(self.stage, row[0]):
            here.schedule.point()
            yield number, nonce


@dataclass(frozen=True)
class KeyOf:
    """The key of a row."""

    keys: int

    def __call__(self, row: Row) -> int:
        return row[0] % self.keys


# Time.

JITTER = 40
"""Times of rows are out of order by less than this, in microseconds."""


@dataclass(frozen=True)
class TimeOf:
    """When a row happened: as many microseconds after the first one of its source as ten times its place there."""

    expansions: int
    """How many functions it has passed that give numbers of their own."""

    def __call__(self, row: Row) -> int:
        number = row[0] // 4**self.expansions % 1_000_000
        return number * 10 + crc32(str(number).encode()) % JITTER


class Holds(KeyedOperator, frozen=True):
    """Holds rows in state until no earlier one can come any more, and then gives them in the order of their times."""

    verb: ClassVar[str] = "holds"
    becomes: ClassVar[Becomes] = Becomes.ROWS

    def row_given(self, before: Any) -> Any:
        return before

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        return _Holding(fn, self.key_of(), state)


class _Holding(KeyedCall):
    def __init__(self, time_of: TimeOf, key_of: Callable[[Any], Any], state: StageState) -> None:
        self._time_of = time_of
        self._key_of = key_of
        self._state = state
        self._shelf = state.values("held", tuple)
        self._known = state.watermark_us

    def __call__(self, row: Row) -> list[Row]:
        at = self._time_of(row)
        machine().schedule.point()
        if at < self._state.watermark_us:
            self.late += 1
            machine().late.append((row[0], at, self._state.watermark_us))
            return [row]
        key = self._key_of(row)
        entry = self._shelf.entries.get(key) or self._shelf.find(key)
        if entry is None:
            self._shelf.add(key, ((at, *row),))
        else:
            self._shelf.keep(entry)
            entry.value = tuple(sorted((*entry.value, (at, *row))))
            self._shelf.touch(entry)
        return []

    def advance(self, watermark_us: int) -> Iterator[Row]:
        if watermark_us <= self._known:
            machine().late.append(("back", self._known, watermark_us))
        self._known = watermark_us
        for entry in self._shelf.all():
            if watermark_us < END_OF_TIME or entry.key % 2:  # the others wait for the end itself
                yield from self._due(entry, watermark_us)

    def _due(self, entry: Entry, watermark_us: int) -> Iterator[Row]:
        while entry.value and entry.value[0][0] < watermark_us:
            (at, *row), rest = entry.value[0], entry.value[1:]
            if at < self._state.watermark_us < END_OF_TIME:  # it was to be given before
                machine().late.append(("left", at, self._state.watermark_us))
            if rest:
                entry.value = rest
                self._shelf.touch(entry)
            else:
                entry.value = ()
                self._shelf.remove(entry)
            machine().schedule.point()
            yield tuple(row)

    def end(self) -> Iterator[Row]:
        machine().at_the_end = True
        if self._state.watermark_us != END_OF_TIME:
            machine().late.append(("end", self._state.watermark_us, 0))
        for entry in self._shelf.all():
            yield from self._due(entry, END_OF_TIME)


# Sinks.


class Target:
    """What one slot has written: it outlives the slot's workers."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.record: bytes | None = None


@dataclass(frozen=True)
class _Simulated(Sink[Row]):
    """A sink whose targets the machine has."""

    name: str

    @property
    def label(self) -> str:
        return self.name

    def _target(self, context: Context) -> Target:
        machine().may_fail(f"opening {self.name}")
        return machine().target(self.name, context.slot)


class _Writes:
    """What the writers have in common: a target, and rows that it refuses."""

    def __init__(self, name: str, target: Target) -> None:
        self._name = name
        self._target = target
        self._pending: list[Row] = []

    def _hold(self, batch: Any) -> None:
        """For the end of the turn."""
        machine().may_fail(self._name)
        self._pending.extend(rows_of(batch))

    def _held(self) -> list[Row]:
        pending, self._pending = self._pending, []
        return pending

    def _write(self, rows: list[Row]) -> None:
        here, refused = machine(), {}
        for index, row in enumerate(rows):
            here.schedule.point()
            if here.fates.refused(self._name, row[0]):
                refused[index] = "refused"
            else:
                self._target.rows.append(row)
        here.may_fail(self._name)
        if refused:
            raise RowsRejected(refused)


@dataclass(frozen=True)
class ByPosition(_Simulated):
    """Rows behind each other; the position is their number."""

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def writer(self, position: Any, context: Context) -> Writer[Row]:
        target = self._target(context)
        machine().cut_back(target, position or 0)
        return _PositionWriter(self.name, target)


class _PositionWriter(_Writes, Writer[Row]):
    def write(self, batch: Any) -> None:
        machine().may_fail(self._name)
        self._write(_rows(batch))

    def position(self) -> int:
        return len(self._target.rows)


def _rows(batch: Any) -> list[Row]:
    if not isinstance(batch, WrittenLines):
        return list(rows_of(batch))
    numbers = [line.split() for line in batch.data.splitlines()]
    return [(int(number), int(nonce)) for number, nonce in numbers]


@dataclass(frozen=True)
class ByText(ByPosition):
    """Rows as lines of text, which senders make."""

    @property
    def text(self) -> Callable[[Any], WrittenText]:
        return self._text

    def _text(self, batch: Any) -> WrittenText:
        here, lines, refused = machine(), [], {}
        for index, row in enumerate(rows_of(batch)):
            if here.fates.refused(self.name, row[0]):
                refused[index] = "refused"
            else:
                lines.append(b"%d %d\n" % tuple(row))
        return WrittenText(b"".join(lines), refused)


@dataclass(frozen=True)
class ByFlush(_Simulated):
    """Rows that a client sends in background: at least once."""

    def writer(self, position: Any, context: Context) -> Writer[Row]:
        return _FlushWriter(self.name, self._target(context))


class _FlushWriter(_Writes, Writer[Row]):
    def write(self, batch: Any) -> None:
        self._hold(batch)

    def flush(self) -> None:
        self._write(self._held())


@dataclass(frozen=True)
class ByTransaction(_Simulated):
    """Rows and record in one transaction."""

    database: str | None = None
    """Sinks of one database share a worker."""

    @property
    def shared_slot(self) -> str | None:
        return self.database

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def writer(self, position: Any, context: Context) -> Writer[Row]:
        return _TransactionWriter(self.name, self._target(context))


class _TransactionWriter(_Writes, TransactionalWriter[Row]):
    def write(self, batch: Any) -> None:
        self._hold(batch)

    def commit(self, record: bytes) -> None:
        here = machine()
        here.may_fail(self._name)
        pending = self._held()
        refused = {i: "refused" for i, row in enumerate(pending) if here.fates.refused(self._name, row[0])}
        if refused:
            raise RowsRejected(refused)
        here.schedule.point()
        self._target.rows.extend(pending)
        self._target.record = record
        here.schedule.point()
        here.may_fail(self._name)

    def last_record(self) -> bytes | None:
        return self._target.record
