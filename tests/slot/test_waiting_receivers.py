"""When a receiver that waits is served before its sender takes more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.turn.sending import Sending
from penstock.slot.turn.turn import Turn
from penstock.slot.turn.turn_policy import TurnPolicy

pytestmark = pytest.mark.interpreted

YOUNG_S, OLD_S = -100.0, 100.0


class Queues(QueueInputs):
    def __init__(self, more: bool) -> None:
        self._more = more

    def ready(self) -> bool:
        return self._more


class Reading(SourceInput):
    def __init__(self, waits_s: float) -> None:
        self.read_waits_s = waits_s


def is_served(
    *, waits: bool = True, more: bool = True, rows_left: int = 0, piece_s: float = 0.0, age_s: float = YOUNG_S,
    source: bool = False, source_waits_s: float = 0.0, queued: bool = True, linger_s: float = 1e9,
) -> bool:
    flushed: list[bool] = []
    turn: Any = Turn.__new__(Turn)
    turn.pending, turn._rows, turn._encoded_rows = True, 0, 0
    turn._intake = SimpleNamespace(done=1, length=1 + rows_left)
    turn._policies, turn._sending = [TurnPolicy(linger_s=linger_s, sends=queued)], Sending.__new__(Sending)
    turn._now_s = lambda: 1000.0
    turn._since, turn.flush = 1000.0 - age_s, lambda: flushed.append(True)
    stage: Any = SimpleNamespace(
        number=0, is_waited_for=lambda: queued and waits, piece_s=piece_s, outs=[], edges=[],
        inputs=Reading(source_waits_s) if source else Queues(more),
        bytes_per_row=0.0, time=None,
    )
    turn.after_piece(stage)
    return bool(flushed)


@pytest.mark.parametrize("case", [{"more": False}, {"age_s": OLD_S}, {"piece_s": 0.001}, {"source": True}])
def test_at_once_where_there_is_no_more_or_no_time_to_take_it_first(case: dict[str, Any]) -> None:
    assert is_served(**case)


@pytest.mark.parametrize("case", [{"more": True}, {"more": False, "rows_left": 5}, {"source": True, "rows_left": 5}])
def test_later_where_more_waits_and_pieces_are_quick(case: dict[str, Any]) -> None:
    assert not is_served(**case)


def test_a_receiver_that_does_not_wait_is_not_served_at_once() -> None:
    assert not is_served(waits=False, more=False)


def test_what_a_source_gave_does_not_wait_with_it_for_more() -> None:
    assert is_served(source=True, waits=False, source_waits_s=0.001)
    assert not is_served(source=True, waits=False, source_waits_s=0.00001)  # a commit would take longer
    assert not is_served(source=True, waits=False, source_waits_s=0.001, rows_left=5)  # it is not asked for more yet


def test_what_a_source_gave_to_its_own_sink_waits_no_longer_than_it_may() -> None:
    assert is_served(source=True, queued=False, source_waits_s=200.0, linger_s=50.0)
    assert not is_served(source=True, queued=False, source_waits_s=0.001, linger_s=50.0)
