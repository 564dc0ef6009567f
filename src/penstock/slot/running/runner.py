"""The way in which a stage works through its input: batch by batch, gathered, or with many rows in flight.

`loop` asks each stage of the slot for steps. `PlainRunner` is the first way; `gathered_calls` and `in_flight` are the
others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.channel.bell import Sleep
from penstock.metrics.catalogue import Activity
from penstock.slot.input.intake import Intake
from penstock.slot.process.stops import StageFailed, Stopped
from penstock.slot.records.control import Control
from penstock.slot.records.retries import RetryFile
from penstock.slot.running.calls import Calls
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn


class Runner(Protocol):
    """What `loop` asks of a stage."""

    @property
    def stage(self) -> SlotStage: ...

    def step(self) -> bool:
        """Do one thing. False: there is nothing to do now."""
        ...

    def has_work(self) -> bool:
        """True when `step` would do something."""
        ...

    @property
    def through(self) -> bool:
        """True: the input has ended, and nothing of it is in progress."""
        ...

    @property
    def sleeps_for(self) -> int:
        """What a sender is to know while the slot sleeps: bits of `Sleep`."""
        ...

    @property
    def nap_s(self) -> float | None:
        """So long may be slept at most; None: as long as nobody rings."""
        ...


class PlainRunner:
    """One batch after the other, in pieces."""

    def __init__(
        self, stage: SlotStage, calls: Calls, *, turn: Turn, retries: RetryFile, meter: Meter, control: Control,
        between: Callable[[], None],
    ) -> None:
        """`between`: called after each piece, for stages that must not be kept waiting."""
        self.stage = stage
        self._calls = calls
        self._turn = turn
        self._retries = retries
        self._meter = meter
        self._control = control
        self._between = between

    def step(self) -> bool:
        intake = None if self._retries.full else self._take()
        if intake is None:
            return False
        self._run(intake)
        return True

    def has_work(self) -> bool:
        return self.stage.inputs.ready() and not self._retries.full

    @property
    def through(self) -> bool:
        return self.stage.inputs.ended

    @property
    def sleeps_for(self) -> int:
        return Sleep.FOR_INPUT

    @property
    def nap_s(self) -> float | None:
        return None

    def _take(self) -> Intake | None:
        try:
            return self.stage.inputs.take()
        except StageFailed:  # what is read is damaged: the rows before it are given out
            if self._turn.pending:
                self._turn.flush()
            raise

    def _run(self, intake: Intake) -> None:
        stage = self.stage
        self._meter.now_doing(Activity.BUSY)
        self._turn.begin(stage, intake)
        if intake.length == 0:
            self._calls.advance(stage, intake, 0)
        while intake.done < intake.length:
            self._calls.run_next(stage, intake)
            if self._control.stopping:
                raise Stopped  # a batch of slow rows may take minutes
            self._between()
        if stage.carries_turns or stage.deals_turns:
            self._turn.flush()
