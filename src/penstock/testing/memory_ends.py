"""Both ends of a pipeline that runs in memory, and the user's instances in it: what is given, and what comes out."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from penstock.batch import Batch, rows_of
from penstock.operator import Context
from penstock.plan.plan import Node, Plan, StagePlan
from penstock.sink import Delivery, Sink, Writer
from penstock.source import Position, Reader, Source
from penstock.testing.clock import ManualClock
from penstock.testing.local_rows import pickled
from penstock.testing.scripted_source import ScriptedReader, ScriptedSource


class Killed(BaseException):
    """A script has come to an `Abort`: the life ends here, and nothing of it may be done any more."""


def in_memory(plan: Plan, clock: ManualClock) -> Plan:
    """The plan with sources and sinks that never leave this process."""
    stages = {}
    for name, stage in plan.stages.items():
        source = None if stage.source is None else MemorySource(stage.source, clock)
        stages[name] = replace(stage, source=source, sink=None if stage.sink is None else MemorySink())
    return replace(plan, stages=stages)


# Instances.


def with_instances_of_slot(plan: Plan, slot: int) -> Plan:
    """The first slot works with the instances that the test has made and may look into; the others with copies."""
    if slot == 0:
        return plan
    copies: dict[int, Any] = {}
    return replace(plan, stages={name: _with_copies(stage, copies) for name, stage in plan.stages.items()})


def _with_copies(stage: StagePlan, copies: dict[int, Any]) -> StagePlan:
    def own(fn: Any) -> Any:
        if inspect.isroutine(fn) or inspect.isclass(fn) or isinstance(fn, functools.partial):
            return fn
        if id(fn) not in copies:
            copies[id(fn)] = copy.copy(fn)
        return copies[id(fn)]

    nodes = [Node(replace(node.operator, fn=own(node.operator.fn)), node.parent) for node in stage.nodes]
    return replace(stage, nodes=tuple(nodes))


# Out.


class MemorySink(Sink[Any]):
    """Keeps the rows in the order of their arrival, from all slots."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Any]] = []

    @property
    def rows(self) -> list[Any]:
        return [row for _, row in self._kept]

    @property
    def label(self) -> str:
        return "list"

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        return _KeptRows(self._kept, context.slot, position or 0)


class _KeptRows(Writer[Any]):
    def __init__(self, kept: list[tuple[int, Any]], slot: int, length: int) -> None:
        """`length`: rows of the slot that are committed; what an earlier life wrote behind them never happened."""
        mine = [at for at, (writer, _) in enumerate(kept) if writer == slot]
        for at in reversed(mine[length:]):
            del kept[at]
        self._kept = kept
        self._slot = slot
        self._length = length

    def write(self, batch: Batch[Any]) -> None:
        rows = rows_of(batch)
        self._kept.extend((self._slot, row) for row in rows)
        self._length += len(rows)

    def position(self) -> Position:
        return self._length

    def close(self) -> None:
        """The rows stay where they are."""


# In.


class MemorySource(Source[Any]):
    """Gives copies of the rows: what functions change in place is not the test's own."""

    def __init__(self, given: Source[Any], clock: ManualClock) -> None:
        self._given = given
        self._clock = clock

    @property
    def label(self) -> str:
        return self._given.label

    @property
    def row_type(self) -> Any:
        return self._given.row_type

    @property
    def rows(self) -> int | None:
        return self._given.rows

    def splits(self) -> Mapping[str, Any]:
        return self._given.splits()

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[Any]:
        if not isinstance(self._given, ScriptedSource):
            return _Copies(self._given.open(split, position, context))
        # A script's own clock is not this run's, and there is no process to be killed.
        lives_before = context.attempt - 1
        script = ScriptedReader(self._given.steps, position or 0, self._clock, lives_before=lives_before, abort=_killed)
        return _Script(script, self._clock)


def _killed(reader: ScriptedReader) -> None:
    raise Killed


class _Copies(Reader[Any]):
    def __init__(self, given: Reader[Any]) -> None:
        self._given = given

    def read(self) -> Any:
        given: Any = self._given.read()  # rows, for that is what tests give
        return None if given is None else _copied(list(given))

    def watermark(self) -> datetime | float | None:
        return self._given.watermark()

    def position(self) -> Position:
        return self._given.position()

    def close(self) -> None:
        self._given.close()


class _Script(_Copies):
    def __init__(self, given: ScriptedReader, clock: ManualClock) -> None:
        super().__init__(given)
        self._script = given
        self._clock = clock

    def read(self) -> Any:
        batch = super().read()
        if batch is None and self._script.resumes_s is not None:
            self.poll_after = max(self._script.resumes_s - self._clock.monotonic(), 0.0)
        return batch


def _copied(rows: list[Any]) -> list[Any]:
    try:
        return list(pickle.loads(pickled(rows)))
    except Exception:  # rows that no queue could carry, whatever their pickling raises: they are there once
        return rows
