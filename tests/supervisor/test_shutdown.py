"""The way down: only downwards, each step entered once, no later than its deadline, and failing decides the ending."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.supervisor.shutdown import KILL_S, TERMINATE_S, Shutdown, ShutdownStep

orders = st.one_of(
    st.tuples(st.just("drain"), st.none() | st.floats(0, 20)),
    st.tuples(st.just("stop")),
    st.tuples(st.just("fail")),
    st.tuples(st.just("abandon")),
    st.tuples(st.just("tick")),
)
schedules = st.lists(st.tuples(st.floats(0, 10), orders), max_size=12)


def play(schedule: list[tuple[float, tuple[Any, ...]]]) -> tuple[Shutdown, list[tuple[float, ShutdownStep]], list[str]]:
    """Give the orders at their times, with a tick at every deadline on the way, as the supervisor does."""
    shutdown, entered, now = Shutdown(), [], 0.0
    heard: list[str] = []
    for pause, (order, *args) in schedule:
        until = now + pause
        while shutdown.deadline is not None and shutdown.deadline <= until:
            now = max(now, shutdown.deadline)
            entered.append((now, shutdown.tick(now)))
        now = until
        heard.append(order)
        step = getattr(shutdown, order)(now, *args)
        entered.append((now, step))
    while shutdown.deadline is not None:
        now = max(now, shutdown.deadline)
        entered.append((now, shutdown.tick(now)))
    return shutdown, [(at, step) for at, step in entered if step is not None], heard


@given(schedules)
def test_it_goes_down_only_and_enters_each_rung_once(schedule: list[Any]) -> None:
    _, entered, _ = play(schedule)
    steps = [step for _, step in entered]
    assert steps == sorted(set(steps))


@given(schedules)
def test_a_worker_that_is_asked_to_leave_is_killed_after_the_grace_and_not_before(schedule: list[Any]) -> None:
    shutdown, entered, heard = play(schedule)
    times = {step: at for at, step in entered}
    if ShutdownStep.TERMINATE in times and "abandon" not in heard:
        assert times[ShutdownStep.KILL] - times[ShutdownStep.TERMINATE] >= TERMINATE_S * 0.999
    if ShutdownStep.KILL in times:
        assert times[ShutdownStep.OVER] - times[ShutdownStep.KILL] >= KILL_S * 0.999
        assert shutdown.step is ShutdownStep.OVER and shutdown.deadline is None
    else:
        assert not {ShutdownStep.TERMINATE, ShutdownStep.OVER} & set(times) and "abandon" not in heard


@given(schedules)
def test_a_run_is_abandoned_when_its_caller_was_gone_before_it_was_leaving(schedule: list[Any]) -> None:
    shutdown, entered, heard = play(schedule)
    steps = [step for _, step in entered]
    assert shutdown.abandoned == (ShutdownStep.KILL in steps and ShutdownStep.TERMINATE not in steps)
    assert not shutdown.abandoned or "abandon" in heard


@given(schedules)
def test_the_ending_is_what_the_strongest_order_says(schedule: list[Any]) -> None:
    shutdown, entered, heard = play(schedule)
    steps = [step for _, step in entered]
    if "fail" in heard:
        assert shutdown.ending == "failed"
    elif ShutdownStep.TERMINATE in steps:
        assert shutdown.ending == "stopped"
    else:
        assert shutdown.ending == ("drained" if ShutdownStep.DRAIN in steps else "finished")


def test_a_drain_without_a_deadline_waits_for_ever() -> None:
    shutdown = Shutdown()
    assert shutdown.drain(0.0, None) is ShutdownStep.DRAIN
    assert shutdown.tick(1e9) is None
    assert not shutdown.leaving


def test_a_stop_hurries_a_drain() -> None:
    shutdown = Shutdown()
    shutdown.drain(0.0, 30.0)
    assert shutdown.stop(1.0) is ShutdownStep.TERMINATE
    assert shutdown.tick(1.0 + TERMINATE_S) is ShutdownStep.KILL
    assert shutdown.tick(1.0 + TERMINATE_S + KILL_S) is ShutdownStep.OVER
    assert shutdown.ending == "stopped"
