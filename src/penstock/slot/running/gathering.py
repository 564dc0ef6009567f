"""What waits for the batch functions of a stage, taken together: a call of them costs much, and rows in it little.

`loop` asks when it is time for a call and for how many rows. Without a target everything that waits is one call; with
one (`rows=`, `wait=`) the stage waits for this many rows, but no longer than that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.slot.input.batches import batch_join, batch_slice
from penstock.slot.input.intake import Intake
from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.process.stops import StageFailed
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.slot_stage import SlotStage


class Span(msgspec.Struct, frozen=True):
    """Rows of one intake that take part in a call."""

    intake: Intake
    rows: int


class Gathering:
    """The intakes of one stage in one slot that were taken and are not through, oldest first."""

    def __init__(
        self, stage: SlotStage, suspicion: Suspicion, *, most: int, rows: int | None, wait_s: float,
        clock: Clock,
    ) -> None:
        """`most`: rows of a call, where no number was asked for (`rows`)."""
        self._stage = stage
        self._now_s = clock.now_s
        self._suspicion = suspicion
        self._target = rows or most
        self._asked = rows is not None or wait_s > 0
        self._wait_s = wait_s
        self._intakes: deque[Intake] = deque()
        self._begun: Intake | None = None
        self.damage: StageFailed | None = None
        """What is read next is damaged: to be raised once the rows before it are given out."""
        self.rows = 0
        """Rows that wait for a call."""

    def __bool__(self) -> bool:
        return bool(self._intakes)

    @property
    def first(self) -> Intake:
        return self._intakes[0]

    def begins(self, intake: Intake) -> bool:
        """True once for each intake, in their order."""
        begins, self._begun = self._begun is not intake, intake
        return begins

    def wants_more(self) -> bool:
        if self.damage is not None:
            return False
        if not self._intakes:
            return True
        if self.rows >= self._target:
            return False
        return isinstance(self._stage.inputs, QueueInputs) or self._asked

    def fill(self) -> None:
        """Take what is there, up to the target."""
        while self.wants_more() and (not self._intakes or not self._source_would_wait()):
            try:
                intake = self._stage.inputs.take()
            except StageFailed as failed:
                self.damage = failed
                return
            if intake is None:
                return
            self._intakes.append(intake)
            self.rows += intake.left

    def due(self, *, patient: bool) -> int:
        """This many rows are to be called for now, at most; 0: more may come. `patient`: it may be waited for."""
        if self.rows < self._target and patient and self.waits_s() > 0 and not self._source_would_wait():
            return 0
        return min(self.rows, self._target)

    def waits_s(self) -> float:
        """How long more may be waited for."""
        if not self._intakes or not self._wait_s or self._stage.inputs.exhausted or self.damage is not None:
            return 0.0
        return self._intakes[0].taken_ns / 1e9 + self._wait_s - self._now_s()

    def _source_would_wait(self) -> bool:
        """True: reading on is expected to take longer than the rows that are here may wait."""
        inputs = self._stage.inputs
        return isinstance(inputs, SourceInput) and inputs.read_waits_s > max(self.waits_s(), 0.0)

    def together(self, rows: int) -> tuple[Any, list[Span]] | None:
        """The next rows as one batch, and whose they are; None: those of the first intake are worked by themselves."""
        spans: list[Span] = []
        for intake in self._intakes:
            if rows <= 0 or not self._is_trusted(intake):
                break
            if spans and not self._is_of_one_origin(spans[0].intake, intake):
                break
            spans.append(Span(intake, min(intake.left, rows)))
            rows -= spans[-1].rows
        if len(spans) < 2:
            return None
        batch = batch_join([batch_slice(s.intake.batch, s.intake.done, s.intake.done + s.rows) for s in spans])
        return None if batch is None else (batch, spans)

    def _is_trusted(self, intake: Intake) -> bool:
        return not intake.failures and self._suspicion.gathers(
            self._stage.number, intake.input, intake.sequence, intake.first_row + intake.done, intake.left
        )

    def _is_of_one_origin(self, first: Intake, intake: Intake) -> bool:
        """False: both give rows their times, but in each of the two event time passes for itself."""
        inputs = self._stage.inputs
        return self._stage.moments is None or inputs.origin_of(first) is inputs.origin_of(intake)

    def rows_done(self, rows: int) -> None:
        """This many rows of the first intake are through."""
        self.rows -= rows
        if self.first.left == 0:  # and no other: an empty one behind it has to be gone through, too, in its place
            self._intakes.popleft()


class Together(msgspec.Struct, frozen=True):
    """Whose rows a call has been given."""

    spans: list[Span]

    def rows_anew(self, rows: int) -> Any:
        """All of them, to be handed to functions once more."""
        return batch_join([span.intake.rows_anew(span.rows) for span in self.spans])


def spans_of(spans: list[Span]) -> Iterator[tuple[int, Span]]:
    """Each with the index of its first row in the batch."""
    first = 0
    for span in spans:
        yield first, span
        first += span.rows
