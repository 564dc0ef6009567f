"""What is done around rows that harmed a life before: they are called with nothing else pending."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.slot.input.intake import Intake
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.records.life import Life, Suspect
from penstock.slot.records.record import Counts
from penstock.slot.running.calls import Calls
from penstock.slot.time_and_chance import MACHINE

pytestmark = pytest.mark.interpreted


class Turn:
    """Writes down what is called and committed; commits nothing by itself, as while its receivers are busy."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.pending = False

    def begin(self, stage: Any, intake: Intake) -> None: ...
    def succeeded(self, stage: Any, rows: int) -> None: ...
    def after_piece(self, stage: Any) -> None: ...

    def pause(self, seconds: float) -> None:
        assert not self.pending

    def rows_done(self, stage: Any, rows: int) -> None:
        self.pending = True

    def flush(self) -> None:
        if self.pending:
            self.events.append("commit")
        self.pending = False

    def flush_carefully(self, mark: Any) -> None:
        self.flush()


def test_rows_before_a_suspicious_piece_are_committed_before_it_is_called() -> None:
    """Else they would be undone, and called again, with each death of the row that is looked for."""
    turn, batches = Turn(), [["a", "b"], ["c", "d", "e"]]
    intakes = [Intake(rows, len(rows), 0, 0, 0, 0, number, 0, "key", {}) for number, rows in enumerate(batches, 1)]
    chain = SimpleNamespace(
        async_rows=None, has_batch_operators=False,
        run=lambda batch, outs, stop_at_failure, origin: turn.events.append(list(batch)) or [],
    )
    stage: Any = SimpleNamespace(
        number=0, inputs=SimpleNamespace(progress=lambda intake: None, ready=lambda: False), chain=chain, outs=[],
        counts=Counts(), sink=None, finished=False, carries_turns=False, deals_turns=False,
        learn_pace=lambda rows, seconds: None, piece_rows=lambda rows: rows, all_outs=[],
        note_moments=lambda intake: None,
    )
    nothing = SimpleNamespace(enter=lambda *args: None, leave=lambda: None, now_doing=lambda activity: None)
    life = Life("work", 0, 2, "r", "", suspect=Suspect(0, 0, 2, 0, 2, 1))
    errors: Any = SimpleNamespace(stops_at_failure=lambda stage: False, settle=lambda stage: None)
    anything: Any = nothing
    fake: Any = turn
    calls = Calls(
        turn=fake, errors=errors, pauses=fake, suspicion=Suspicion(life), work=anything, crash=CrashPoints(),
        clock=MACHINE,
    )
    for intake in intakes:
        while intake.left:
            calls.run_next(stage, intake)
    assert turn.events == [["a", "b"], "commit", ["c"], "commit", ["d"], "commit", ["e"]]
