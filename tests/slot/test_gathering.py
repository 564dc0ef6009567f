"""What waits for batch functions: every batch that was taken is gone through once, in its place, however many rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.slot.input.intake import Intake
from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.records.life import Life
from penstock.slot.records.work_page import TURN_INPUT, Mark
from penstock.slot.running.gathered_calls import GatheredRunner
from penstock.slot.running.gathering import Gathering
from penstock.slot.time_and_chance import MACHINE

pytestmark = pytest.mark.interpreted


class Waiting(QueueInputs):
    """Input that is there."""

    def __init__(self, intakes: list[Intake]) -> None:
        self._left = intakes

    @property
    def exhausted(self) -> bool:
        return not self._left

    def take(self) -> Intake | None:
        return self._left.pop(0) if self._left else None


def intake(rows: int) -> Intake:
    return Intake(list(range(rows)), rows, 0, 0, 0, 0, 0, 0, "key", {})


def gathering_of(intakes: list[Intake], most: int) -> Gathering:
    stage: Any = SimpleNamespace(number=0, inputs=Waiting(list(intakes)), moments=None)
    life = Life("stage", 0, 1, "run", "letters")
    return Gathering(stage, Suspicion(life), most=most, rows=None, wait_s=0.0, clock=MACHINE)


@given(st.lists(st.integers(0, 5), min_size=1), st.integers(1, 20), st.integers(1, 12))
def test_every_batch_is_processed_once_and_in_order_empty_ones_too(
    sizes: list[int], most: int, piece: int
) -> None:
    """A turn that was filtered away comes as an empty batch: what is not gone through holds up the end behind it."""
    intakes = [intake(rows) for rows in sizes]
    gathering, gone = gathering_of(intakes, most), []
    gathering.fill()
    while gathering:
        together = gathering.together(min(piece, gathering.rows))
        rows_of = [(span.intake, span.rows) for span in together[1]] if together is not None else None
        for each, rows in rows_of or [(gathering.first, min(piece, gathering.first.left))]:
            each.done += rows
            if not each.left:
                gone.append(each)
            gathering.rows_done(rows)
        gathering.fill()
    assert [id(each) for each in gone] == [id(each) for each in intakes]
    assert gathering.rows == 0


def test_the_mark_of_a_call_for_several_batches_is_about_all_rows_that_are_not_committed() -> None:
    """After a death that many rows are called for batch by batch; those of the call are the last of them."""
    intakes, marks, pending = [intake(2), intake(3)], [], 7
    gathering = gathering_of(intakes, 100)
    gathering.fill()
    turn = SimpleNamespace(
        begin=_nothing, succeeded=_nothing, after_piece=_nothing,
        mark_of_all=lambda stage, more: Mark(0, TURN_INPUT, 1, 0, pending + more),
    )

    def call_piece(stage: Any, batch: Any, mark: Mark, *more: Any) -> list[Any]:
        marks.append((len(batch), mark.count))
        return []

    def advance(stage: Any, intake: Intake, rows: int) -> None:
        intake.done += rows

    calls = SimpleNamespace(call_piece=call_piece, write=_nothing, advance=advance)
    errors = SimpleNamespace(stops_at_failure=lambda stage: False, settle=_nothing)
    retries, control = SimpleNamespace(full=False), SimpleNamespace(draining=False, stopping=False)
    stage: Any = SimpleNamespace(
        number=0, inputs=Waiting([]), piece_rows=lambda rows: rows, deals_turns=False, moments=None,
        note_moments=_nothing,
    )
    world: Any = {
        "turn": turn, "errors": errors, "retries": retries, "meter": SimpleNamespace(now_doing=_nothing),
        "control": control,
    }
    runner = GatheredRunner(stage, calls, gathering, **world)  # type: ignore[arg-type]
    assert runner.step()
    assert marks == [(5, pending + 5)]


def _nothing(*args: object) -> None:
    """What is not looked at here."""
