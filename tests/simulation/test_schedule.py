"""When the scheduler of simulated processes says that a run does not come to an end."""

from __future__ import annotations

import pytest
from sim_schedule import Schedule, Violation

pytestmark = pytest.mark.interpreted


def beside_one_that_goes_on_for_ever(schedule: Schedule, *, pause_s: float) -> None:
    """As a checkpointer does: a few hundred points, and a pause."""

    def body() -> None:
        while True:
            for _ in range(300):
                schedule.point()
            schedule.wait(pause_s, ringable=False)

    schedule.start("for ever", body, lambda status: None).endless = True


def test_whoever_waits_for_ten_seconds_has_them_whatever_goes_on_beside_it() -> None:
    """Until a hanging row is killed, or a slot has its next life."""
    schedule, ended = Schedule(1), []
    beside_one_that_goes_on_for_ever(schedule, pause_s=0.003)
    schedule.start("waits", lambda: schedule.spend(10.0), ended.append)
    assert schedule.run(lambda: bool(ended), schedule.now + 20.0)
    assert schedule.points > 300_000


def test_a_run_in_which_nothing_is_done_any_more_is_told_though_somebody_goes_on_for_ever() -> None:
    schedule = Schedule(1)
    beside_one_that_goes_on_for_ever(schedule, pause_s=0.1)
    schedule.start("hangs", lambda: schedule.spend(1e6), lambda status: None)
    began = schedule.now
    with pytest.raises(Violation, match="nobody has got anything done for 60 s"):
        schedule.run(lambda: False, began + 1000.0)
    assert 60.0 < schedule.now - began < 61.0


def test_progress_gives_the_time_anew() -> None:
    schedule, ended = Schedule(1), []

    def body() -> None:
        for _ in range(5):
            schedule.spend(50.0)
            schedule.progress()

    schedule.start("slow", body, ended.append)
    assert schedule.run(lambda: bool(ended), schedule.now + 1000.0)


def test_whoever_works_for_ever_and_should_not_is_told() -> None:
    schedule = Schedule(1)

    def body() -> None:
        while True:
            schedule.progress()
            schedule.point()

    schedule.start("round and round", body, lambda status: None)
    with pytest.raises(Violation, match="it does not come to an end"):
        schedule.run(lambda: False, schedule.now + 1000.0)
