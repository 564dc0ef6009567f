"""A plan run in this very process, one batch after the other: no queues, no workers, no waiting.

Sources are read until they give nothing; then the clock is moved on to what is due next, a retry or the end of a
`Pause`. Stages work in `rehearsed_slot`s, one for each worker that there would be.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letters import DeadLetter
from penstock.errors import PipelineFailed, SourceDamaged
from penstock.operator import Context
from penstock.plan.plan import Plan, StagePlan
from penstock.plan.topology import Topology, with_splits
from penstock.report import Outcome as End
from penstock.report import Report, StageReport
from penstock.slot.split_input import checked
from penstock.slot.stops import StageFailed
from penstock.slot.user_errors import one_line, user_traceback
from penstock.source import EndOfSplit, Reader, Rejected
from penstock.testing.clock import ManualClock
from penstock.testing.outcome import Outcome
from penstock.testing.rehearsed_edge import Delivery
from penstock.testing.rehearsed_fates import Counts
from penstock.testing.rehearsed_slot import RehearsedSlot
from penstock.testing.replacement import list_sinks
from penstock.testing.scripted_source import ScriptedReader, ScriptedSource


class Rehearsal:
    """One run of a plan whose sources and sinks are replaced."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        splits = {s.name: dict(s.source.splits()) for s in plan.stages.values() if s.source is not None}
        topology = Topology.first(with_splits(plan, splits))
        self._clock = ManualClock()
        self._began = time.monotonic()
        self._counts = {name: Counts() for name in plan.stages}
        self._dead_letters: list[DeadLetter] = []
        self._slots = {
            (name, slot): RehearsedSlot(
                topology, stage, slot, counts=self._counts[name], clock=self._clock, dead_letters=self._dead_letters
            )
            for name, stage in topology.plan.stages.items()
            for slot in range(topology.workers(name))
        }
        self._readings = [
            _Reading(stage, slot, name, split, self._clock, self._slots[stage.name, slot].context)
            for stage in topology.plan.stages.values() if stage.source is not None
            for slot in range(topology.workers(stage.name))
            for name, split in topology.splits(stage, slot).items()
        ]

    def run(self) -> Outcome:
        """To the end. Raises `PipelineFailed`."""
        opened: list[RehearsedSlot] = []
        try:
            for slot in self._slots.values():
                opened.append(slot)
                _open(slot)
            self._work_through()
            self._check_for_hopeless_code(at_the_end=True)
        except StageFailed as failed:
            raise PipelineFailed(failed.stage, failed.reason, failed.traceback, self._report("failed")) from failed
        finally:
            for slot in reversed(opened):
                _close(slot)
        outputs = {name: sink.rows for name, sink in list_sinks(self._plan).items()}
        return Outcome(outputs, tuple(self._dead_letters), self._report("finished"))

    def _work_through(self) -> None:
        while True:
            while self._step():
                pass
            due = [slot.fates.next_due_s() for slot in self._slots.values()]
            due += [reading.resumes_s for reading in self._readings]
            times = [at for at in due if at is not None]
            if not times:
                return
            self._clock.sleep(min(times) - self._clock.monotonic())

    def _step(self) -> bool:
        """Do all that can be done now. False: there was nothing."""
        worked = False
        for slot in self._slots.values():
            while (sent := slot.retry_due()) is not None:
                worked = True
                self._pass_on(sent)
        for reading in self._readings:
            given = reading.next_batch(self._counts[reading.stage])
            if given is not None:
                worked = True
                self._pass_on([Delivery(reading.stage, reading.slot, given[0])])
                self._reject(reading, given[1])
        return worked

    def _reject(self, reading: _Reading, rejected: Sequence[Rejected]) -> None:
        """What a reader found that is no row."""
        for found in rejected:
            self._counts[reading.stage].rows_in += 1
            self._slots[reading.stage, reading.slot].fates.rejected_by_reader(found)

    def _pass_on(self, deliveries: list[Delivery]) -> None:
        """Let every batch run down to the sinks before the next one."""
        todo = list(reversed(deliveries))
        while todo:
            delivery = todo.pop()
            todo.extend(reversed(self._slots[delivery.stage, delivery.slot].take(delivery.batch)))
            self._check_for_hopeless_code()

    def _check_for_hopeless_code(self, *, at_the_end: bool = False) -> None:
        """A stage in which no row ever succeeded: the code is wrong, not the data."""
        for name, counts in self._counts.items():
            limit = self._plan.stages[name].settings.on_error.give_up_after
            failed = counts.failed_before_success
            if limit is None or counts.succeeded or not failed or (failed < limit and not at_the_end):
                continue
            raise StageFailed(
                name,
                f"no row has ever succeeded and {failed} have failed, so the code is probably wrong, not the data "
                f"(dead_letter(give_up_after=None) continues anyway); the last error: {counts.last_error}",
            )

    def _report(self, outcome: End) -> Report:
        stages = {
            name: StageReport(
                name, c.rows_in, c.rows_out, c.retries, c.dead_letters, c.skipped, c.restarts, c.busy_s
            )
            for name, c in self._counts.items()
        }
        return Report(self._plan.pipeline, outcome, time.monotonic() - self._began, stages, 0)


class _Reading:
    """One split of a source, read in this process."""

    def __init__(
        self, stage: StagePlan, slot: int, name: str, split: Any, clock: ManualClock, context: Context
    ) -> None:
        assert stage.source is not None
        self.stage = stage.name
        self.slot = slot
        self._source = stage.source
        self._row_type = stage.source_type
        self._name = name
        self._split = split
        self._clock = clock
        self._context = context
        self._aborts = 0
        self._reader: Reader[Any] | None = None
        self._is_open = False

    @property
    def resumes_s(self) -> float | None:
        """When its pause is over."""
        return self._reader.resumes_s if isinstance(self._reader, ScriptedReader) else None

    def next_batch(self, counts: Counts) -> tuple[Any, Sequence[Rejected]] | None:
        """Rows, and what is none. None: nothing now, or nothing more."""
        before = None
        try:
            if not self._is_open:
                self._is_open, self._reader = True, self._open(None)
            if self._reader is None:
                return None
            before = self._reader.position()
            given = self._reader.read()
        except EndOfSplit:
            self._close()
            return None
        except _Aborted:
            counts.restarts += 1
            self._aborts += 1
            self._reader = self._open(before)
            return self.next_batch(counts)
        except SourceDamaged as damage:
            return self._damaged(damage)
        if given is None:
            return None
        batch, rejected = checked(given, self._name, self._row_type)
        if not rejected:
            return batch, ()
        good = [row for index, row in enumerate(batch) if index not in rejected]
        return good, list(rejected.values())

    def _damaged(self, damage: SourceDamaged) -> tuple[Any, Sequence[Rejected]]:
        self._close()
        if not self._source.skips_damaged:
            raise StageFailed(self.stage, str(damage)) from damage
        return [], [Rejected(self._name, f"{damage.told}; the rest of it is skipped")]

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self, position: Any) -> Reader[Any]:
        if isinstance(self._source, ScriptedSource):
            # A script's own clock is not this run's, and nobody is here to be killed.
            return ScriptedReader(
                self._source.steps, position or 0, self._clock, lives_before=self._aborts, abort=_abort
            )
        return self._source.open(self._split, position, self._context)


class _Aborted(Exception):
    """A script has come to an `Abort`."""


def _abort(reader: ScriptedReader) -> None:
    raise _Aborted


def _open(slot: RehearsedSlot) -> None:
    try:
        slot.chain.open(slot.context)
    except BaseException as exc:  # the user's `open`
        if is_ctrl_c(exc):
            raise
        raise StageFailed(slot.stage.name, f"opening: {one_line(exc)}", user_traceback(exc)) from exc


def _close(slot: RehearsedSlot) -> None:
    for close in slot.chain.closers():
        try:
            close()
        except BaseException as exc:  # the user's `close`: what was done is done, as in a worker
            if is_ctrl_c(exc):
                raise
            slot.context.log.warning("closing failed: %s", one_line(exc), exc_info=exc)
