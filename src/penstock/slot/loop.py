"""The life of a worker: each stage of the slot does its next thing, the turn is committed, and there is sleep between.

A turn is what lies between two commits: one batch, or as many as came while the receivers were busy. `runner` says how
a stage works through its input, `turn` what it gave, `row_errors` decides about rows that fail, `suspicion` about rows
that kill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from penstock.channel.bell import SAFETY_POLL_S
from penstock.slot.process.stops import Stopped
from penstock.slot.records.control import Control
from penstock.slot.records.work_page import WorkPage
from penstock.slot.running.due_retries import DueRetries
from penstock.slot.running.in_flight import InFlight
from penstock.slot.running.passing_time import PassingTime
from penstock.slot.running.runner import Runner
from penstock.slot.sleeping import Sleeping
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.durable_commits import DurableCommits
from penstock.slot.turn.row_errors import RowErrors
from penstock.slot.turn.turn import Turn

_STARVING_S: Final = 0.005
"""Coroutines get a round of their event loop at least so often, whatever other stages in the slot do."""
VERDICT_POLL_S: Final = 0.05
"""Other slots do not ring when a first row of theirs has succeeded."""


class SlotLoop:
    """Runs the stages of one slot until their input is through."""

    def __init__(
        self, *, turn: Turn, errors: RowErrors, sleeping: Sleeping, work: WorkPage, control: Control,
        durable: DurableCommits, clock: Clock,
    ) -> None:
        self._now_s = clock.now_s
        self._runners: tuple[Runner, ...] = ()
        self._flights: tuple[InFlight, ...] = ()
        """Those of them that have rows in flight."""
        self._due: DueRetries
        self._time: PassingTime
        self._turn = turn
        self._errors = errors
        self._sleeping = sleeping
        self._work = work
        self._control = control
        self._durable = durable
        self._told_ends = set[int]()
        """The stages whose operators were told of the end of their input."""
        self._current = 0
        self._undecided = False
        """True: a stage is through, and other slots decide whether its failed rows are letters or its failure."""
        self._ran_coroutines_at = 0.0

    def begin(self, runners: Sequence[Runner], due: DueRetries, passing_time: PassingTime) -> None:
        """Send what an earlier life did not get to. `due`, `passing_time`: the retries and event time of all stages."""
        self._runners, self._due, self._time = tuple(runners), due, passing_time
        self._flights = tuple(runner for runner in runners if isinstance(runner, InFlight))
        for runner in runners:
            self._turn.send_spooled(runner.stage)
        passing_time.begin()
        self._durable.begin()

    def run(self) -> None:
        """Until every stage of the slot has finished."""
        while not self.finished:
            if not self.do_next():
                self._sleep(self._turn.collects_for() if self._turn.pending else SAFETY_POLL_S)

    @property
    def finished(self) -> bool:
        return all(runner.stage.finished for runner in self._runners)

    def do_next(self) -> bool:
        """Do one thing, or end the turn where it is time. False: there is nothing to do now."""
        if self._step():
            return True
        if self._turn.pending and (self._turn.collects_for() <= 0 or self._control.draining):
            self._turn.flush()
            return True
        return self._durable.look() or self._note_sinks() or self._time.before_sleep()

    def _note_sinks(self) -> bool:
        """Commit what a sink that waits for checkpoints has to say, if no rows come that do so. False: nothing."""
        for runner in self._runners:
            if runner.stage.sink_output.wants_commit:
                self._turn.note(runner.stage)
                return True
        return False

    # For those who let slots take turns in one process, rather than sleep.

    @property
    def has_rows_in_flight(self) -> bool:
        """True: coroutines run while it waits."""
        return any(not flight.idle for flight in self._flights)

    def waits_for_s(self) -> float | None:
        """So long there will be nothing to do unless neighbours have news; None: for as long as they have none."""
        naps = self._naps()
        if self._turn.pending:
            naps.append(self._turn.collects_for())
        return max(min(naps), 0.0) if naps else None

    def _step(self) -> bool:
        """Do one thing. False: there is nothing to do now."""
        self._work.beat()
        self._undecided = False
        if self._control.stopping:
            raise Stopped
        if self._control.draining:
            for runner in self._runners:
                runner.stage.inputs.stop()
        self.let_coroutines_run()
        if self._due.step():
            return True
        return any(not runner.stage.finished and self._step_stage(runner) for runner in self._at_work())

    def _step_stage(self, runner: Runner) -> bool:
        if runner.step():
            self._time.batch_through(runner.stage)
            if not self._turn.pending:
                self._next_stage()
            return True
        return runner.through and self._finish_if_decided(runner)

    def _finish_if_decided(self, runner: Runner) -> bool:
        stage = runner.stage
        if self._due.waits(stage):
            return False
        if not self._errors.may_finish(stage, draining=self._control.draining):
            self._undecided = True
            return False
        if stage.number not in self._told_ends:
            self._told_ends.add(stage.number)
            self._time.end(stage)
        if self._turn.pending:
            self._turn.flush()
        if self._durable.holds(stage):
            return False
        self._turn.finish(stage)
        return True

    def _at_work(self) -> Iterator[Runner]:
        """Stages that share a slot take turns; one runs until its turn is over, because a switch ends it."""
        for _ in self._runners:
            yield self._runners[self._current]
            if self._collects():
                return
            self._next_stage()

    def _next_stage(self) -> None:
        self._current = (self._current + 1) % len(self._runners)

    def _collects(self) -> bool:
        """True: the current stage's transaction waits for more of its own rows, and those of others wait for it."""
        return self._turn.pending and self._turn.collects_for() > 0 and not self._control.draining

    def let_coroutines_run(self) -> None:
        """Where stages share the slot, one that has much to do must not keep the coroutines of another waiting."""
        if self._flights and len(self._runners) > 1 and self._now_s() >= self._ran_coroutines_at + _STARVING_S:
            for flight in self._flights:
                flight.let_run()
            self._ran_coroutines_at = self._now_s()

    # When there is nothing to do.

    @property
    def sleeps_for(self) -> int:
        """What neighbours are to know while it sleeps: bits of `Sleep`."""
        why = 0
        for runner in self._runners:
            why |= runner.sleeps_for
        return why

    def _sleep(self, patience: float) -> None:
        if self._sleeping.sleep(self.sleeps_for, self._has_work, lambda: min(self._nap(), patience)):
            self._ran_coroutines_at = self._now_s()

    def _has_work(self) -> bool:
        if self._due.can_run or self._durable.has_news:
            return True
        runners = (self._runners[self._current],) if self._collects() else self._runners
        return any(not runner.stage.finished and self._is_at_work(runner) for runner in runners)

    def _is_at_work(self, runner: Runner) -> bool:
        return runner.has_work() or (
            runner.through and not self._undecided and not self._due.waits(runner.stage)
            and not self._durable.holds(runner.stage)
        )

    def _nap(self) -> float:
        naps = self._naps()
        naps.append(VERDICT_POLL_S if self._undecided else SAFETY_POLL_S)
        return max(min(naps), 0.0)

    def _naps(self) -> list[float]:
        """How long each of those sleeps that wake by themselves."""
        naps = list[float]()
        naps.extend(nap for runner in self._runners if (nap := runner.nap_s) is not None)
        naps.extend(after for runner in self._runners if (after := runner.stage.inputs.wake_after()) is not None)
        naps.extend(self._time.naps())
        due = self._due.nap_s()
        if due is not None:
            naps.append(due)
        return naps
