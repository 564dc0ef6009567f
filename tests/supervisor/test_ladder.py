"""The way down: only downwards, each rung entered once, no later than its deadline, and failing decides the ending."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.supervisor.ladder import KILL_S, TERMINATE_S, Ladder, Rung

orders = st.one_of(
    st.tuples(st.just("drain"), st.none() | st.floats(0, 20)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("fail")),
    st.tuples(st.just("abandon")),
    st.tuples(st.just("tick")),
)
schedules = st.lists(st.tuples(st.floats(0, 10), orders), max_size=12)


def play(schedule: list[tuple[float, tuple[Any, ...]]]) -> tuple[Ladder, list[tuple[float, Rung]], list[str]]:
    """Give the orders at their times, with a tick at every deadline on the way, as the supervisor does."""
    ladder, entered, now = Ladder(), [], 0.0
    heard: list[str] = []
    for pause, (order, *args) in schedule:
        until = now + pause
        while ladder.deadline is not None and ladder.deadline <= until:
            now = max(now, ladder.deadline)
            entered.append((now, ladder.tick(now)))
        now = until
        heard.append(order)
        rung = getattr(ladder, order)(now, *args)
        entered.append((now, rung))
    while ladder.deadline is not None:
        now = max(now, ladder.deadline)
        entered.append((now, ladder.tick(now)))
    return ladder, [(at, rung) for at, rung in entered if rung is not None], heard


@given(schedules)
def test_it_goes_down_only_and_enters_each_rung_once(schedule: list[Any]) -> None:
    _, entered, _ = play(schedule)
    rungs = [rung for _, rung in entered]
    assert rungs == sorted(set(rungs))


@given(schedules)
def test_whoever_is_asked_to_leave_is_killed_after_the_grace_and_not_before(schedule: list[Any]) -> None:
    ladder, entered, heard = play(schedule)
    times = {rung: at for at, rung in entered}
    if Rung.TERMINATE in times and "abandon" not in heard:
        assert times[Rung.KILL] - times[Rung.TERMINATE] >= TERMINATE_S * 0.999
    if Rung.KILL in times:
        assert times[Rung.OVER] - times[Rung.KILL] >= KILL_S * 0.999
        assert ladder.rung is Rung.OVER and ladder.deadline is None
    else:
        assert not {Rung.TERMINATE, Rung.OVER} & set(times) and "abandon" not in heard


@given(schedules)
def test_a_run_is_abandoned_when_its_caller_was_gone_before_it_was_leaving(schedule: list[Any]) -> None:
    ladder, entered, heard = play(schedule)
    rungs = [rung for _, rung in entered]
    assert ladder.abandoned == (Rung.KILL in rungs and Rung.TERMINATE not in rungs)
    assert not ladder.abandoned or "abandon" in heard


@given(schedules)
def test_the_ending_is_what_the_strongest_order_says(schedule: list[Any]) -> None:
    ladder, entered, heard = play(schedule)
    rungs = [rung for _, rung in entered]
    if "fail" in heard:
        assert ladder.ending == "failed"
    elif Rung.TERMINATE in rungs:
        assert ladder.ending == "stopped"
    else:
        assert ladder.ending == ("drained" if Rung.DRAIN in rungs else "finished")


def test_a_drain_without_a_deadline_waits_for_ever() -> None:
    ladder = Ladder()
    assert ladder.drain(0.0, None) is Rung.DRAIN
    assert ladder.tick(1e9) is None
    assert not ladder.leaving


def test_a_stop_hurries_a_drain() -> None:
    ladder = Ladder()
    ladder.drain(0.0, 30.0)
    assert ladder.stop(1.0) is Rung.TERMINATE
    assert ladder.tick(1.0 + TERMINATE_S) is Rung.KILL
    assert ladder.tick(1.0 + TERMINATE_S + KILL_S) is Rung.OVER
    assert ladder.ending == "stopped"
