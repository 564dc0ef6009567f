"""What waits for batch functions: every batch that was taken is gone through once, in its place, however many rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.input.unit import Unit
from penstock.slot.records.life import Life
from penstock.slot.records.work_page import TURN_INPUT, Mark
from penstock.slot.running.gathered_calls import GatheredRunner
from penstock.slot.running.gathering import Gathering
from penstock.slot.time_and_chance import MACHINE

pytestmark = pytest.mark.interpreted


class Waiting(QueueInputs):
    """Input that is there."""

    def __init__(self, units: list[Unit]) -> None:
        self._left = units

    @property
    def exhausted(self) -> bool:
        return not self._left

    def take(self) -> Unit | None:
        return self._left.pop(0) if self._left else None


def unit(rows: int) -> Unit:
    return Unit(list(range(rows)), rows, 0, 0, 0, 0, 0, 0, "key", {})


def gathering_of(units: list[Unit], most: int) -> Gathering:
    part: Any = SimpleNamespace(number=0, inputs=Waiting(list(units)))
    life = Life("seat", 0, 1, "run", "letters")
    return Gathering(part, Suspicion(life), most=most, rows=None, wait_s=0.0, clock=MACHINE)


@given(st.lists(st.integers(0, 5), min_size=1), st.integers(1, 20), st.integers(1, 12))
def test_every_batch_is_gone_through_once_and_in_order_the_empty_ones_too(
    sizes: list[int], most: int, piece: int
) -> None:
    """A turn that was filtered away comes as an empty batch: what is not gone through holds up the end behind it."""
    units = [unit(rows) for rows in sizes]
    gathering, gone = gathering_of(units, most), []
    gathering.fill()
    while gathering:
        together = gathering.together(min(piece, gathering.rows))
        rows_of = [(span.unit, span.rows) for span in together[1]] if together is not None else None
        for each, rows in rows_of or [(gathering.first, min(piece, gathering.first.left))]:
            each.done += rows
            if not each.left:
                gone.append(each)
            gathering.rows_done(rows)
        gathering.fill()
    assert [id(each) for each in gone] == [id(each) for each in units]
    assert gathering.rows == 0


def test_the_mark_of_a_call_for_several_batches_is_about_all_rows_that_are_not_committed() -> None:
    """After a death that many rows are called for batch by batch; those of the call are the last of them."""
    units, marks, pending = [unit(2), unit(3)], [], 7
    gathering = gathering_of(units, 100)
    gathering.fill()
    turn = SimpleNamespace(
        begin=_nothing, succeeded=_nothing, go_on=_nothing,
        mark_of_all=lambda part, more: Mark(0, TURN_INPUT, 1, 0, pending + more),
    )

    def call_piece(part: Any, batch: Any, mark: Mark, *more: Any) -> list[Any]:
        marks.append((len(batch), mark.count))
        return []

    def advance(part: Any, unit: Unit, rows: int) -> None:
        unit.done += rows

    calls = SimpleNamespace(call_piece=call_piece, write=_nothing, advance=advance)
    errors = SimpleNamespace(stops_at_failure=lambda part: False, settle=_nothing)
    retries, control = SimpleNamespace(full=False), SimpleNamespace(draining=False, stopping=False)
    part: Any = SimpleNamespace(number=0, inputs=Waiting([]), piece_rows=lambda rows: rows, deals_turns=False)
    world: Any = {
        "turn": turn, "errors": errors, "retries": retries, "meter": SimpleNamespace(now_doing=_nothing),
        "control": control,
    }
    runner = GatheredRunner(part, calls, gathering, **world)  # type: ignore[arg-type]
    assert runner.step()
    assert marks == [(5, pending + 5)]


def _nothing(*args: object) -> None:
    """What is not looked at here."""
