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
from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.input.unit import Unit
from penstock.slot.process.stops import StageFailed
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.part import Part


class Span(msgspec.Struct, frozen=True):
    """Rows of one unit that take part in a call."""

    unit: Unit
    rows: int


class Gathering:
    """The units of one stage in one slot that were taken and are not through, oldest first."""

    def __init__(
        self, part: Part, suspicion: Suspicion, *, most: int, rows: int | None, wait_s: float,
        clock: Clock,
    ) -> None:
        """`most`: rows of a call, where no number was asked for (`rows`)."""
        self._part = part
        self._now_s = clock.now_s
        self._suspicion = suspicion
        self._target = rows or most
        self._asked = rows is not None or wait_s > 0
        self._wait_s = wait_s
        self._units: deque[Unit] = deque()
        self._begun: Unit | None = None
        self.damage: StageFailed | None = None
        """What is read next is damaged: to be raised once the rows before it are given out."""
        self.rows = 0
        """Rows that wait for a call."""

    def __bool__(self) -> bool:
        return bool(self._units)

    @property
    def first(self) -> Unit:
        return self._units[0]

    def begins(self, unit: Unit) -> bool:
        """True once for each unit, in their order."""
        begins, self._begun = self._begun is not unit, unit
        return begins

    def wants_more(self) -> bool:
        if self.damage is not None:
            return False
        if not self._units:
            return True
        if self.rows >= self._target:
            return False
        return isinstance(self._part.inputs, QueueInputs) or self._asked

    def fill(self) -> None:
        """Take what is there, up to the target."""
        while self.wants_more() and (not self._units or not self._source_would_wait()):
            try:
                unit = self._part.inputs.take()
            except StageFailed as failed:
                self.damage = failed
                return
            if unit is None:
                return
            self._units.append(unit)
            self.rows += unit.left

    def due(self, *, patient: bool) -> int:
        """This many rows are to be called for now, at most; 0: more may come. `patient`: it may be waited for."""
        if self.rows < self._target and patient and self.waits_s() > 0 and not self._source_would_wait():
            return 0
        return min(self.rows, self._target)

    def waits_s(self) -> float:
        """How long more may be waited for."""
        if not self._units or not self._wait_s or self._part.inputs.exhausted or self.damage is not None:
            return 0.0
        return self._units[0].taken_ns / 1e9 + self._wait_s - self._now_s()

    def _source_would_wait(self) -> bool:
        """True: reading on is expected to take longer than the rows that are here may wait."""
        inputs = self._part.inputs
        return isinstance(inputs, SourceInput) and inputs.read_waits_s > max(self.waits_s(), 0.0)

    def together(self, rows: int) -> tuple[Any, list[Span]] | None:
        """The next rows as one batch, and whose they are; None: those of the first unit are worked by themselves."""
        spans: list[Span] = []
        for unit in self._units:
            if rows <= 0 or not self._is_trusted(unit):
                break
            spans.append(Span(unit, min(unit.left, rows)))
            rows -= spans[-1].rows
        if len(spans) < 2:
            return None
        batch = batch_join([batch_slice(s.unit.batch, s.unit.done, s.unit.done + s.rows) for s in spans])
        return None if batch is None else (batch, spans)

    def _is_trusted(self, unit: Unit) -> bool:
        return not unit.failures and self._suspicion.gathers(
            self._part.number, unit.input, unit.sequence, unit.first_row + unit.done, unit.left
        )

    def rows_done(self, rows: int) -> None:
        """This many rows of the first unit are through."""
        self.rows -= rows
        if self.first.left == 0:  # and no other: an empty one behind it has to be gone through, too, in its place
            self._units.popleft()


class Together(msgspec.Struct, frozen=True):
    """Whose rows a call has been given."""

    spans: list[Span]

    def rows_anew(self, rows: int) -> Any:
        """All of them, to be handed to functions once more."""
        return batch_join([span.unit.rows_anew(span.rows) for span in self.spans])


def spans_of(spans: list[Span]) -> Iterator[tuple[int, Span]]:
    """Each with the index of its first row in the batch."""
    first = 0
    for span in spans:
        yield first, span
        first += span.rows
