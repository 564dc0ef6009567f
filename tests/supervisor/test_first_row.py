"""A new worker that does nothing but wait is told of; one that works, or that would if it could, is not."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from penstock.supervisor.first_row import AFTER_S, FirstRow, wanted_s


@given(st.lists(st.tuples(st.floats(0.01, 20), st.floats(0, 5)), max_size=30))
def test_a_worker_that_used_its_processor_since_the_last_look_does_not_hang(looks: list[tuple[float, float]]) -> None:
    first_row, now, used_s = FirstRow(0.0), 0.0, 0.0
    looked_at, used_then = 0.0, 0.0
    for after_s, more_s in looks:
        now, used_s = now + after_s, used_s + more_s
        hangs = first_row.hangs(now, used_s)
        if now < looked_at + AFTER_S:
            assert not hangs
            continue
        assert hangs == (used_s - used_then < 0.25)
        assert first_row.due() == now + AFTER_S  # else who waits for it would be woken at once
        looked_at, used_then = now, used_s


def test_what_a_process_wants_is_at_least_what_it_has_used() -> None:
    before = os.times()
    assert wanted_s(os.getpid()) >= (before.user + before.system) * 0.9
    assert wanted_s(2**22 + 1) == 0.0
