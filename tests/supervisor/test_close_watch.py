"""A worker that does not return from `close` is reported once, killed once, and excused while it cannot run."""

from __future__ import annotations

from penstock.supervisor.close_watch import MOST_S, TOLD_AFTER_S, Closing, ClosingStep

_LOOK_NS = 250_000_000


def _steps(closing: Closing, seconds: float, *, since_s: float = 0.0, held_up: bool = False) -> list[ClosingStep]:
    begin, end = int(since_s * 1e9), int((since_s + seconds) * 1e9)
    steps = (closing.step(0, now, held_up=held_up) for now in range(begin, end, _LOOK_NS))
    return [step for step in steps if step is not None]


def test_it_is_told_once_and_killed_later() -> None:
    closing = Closing()
    assert _steps(closing, TOLD_AFTER_S) == []
    assert _steps(closing, MOST_S - TOLD_AFTER_S, since_s=TOLD_AFTER_S) == [ClosingStep.TELL]
    assert _steps(closing, 1.0, since_s=MOST_S)[-1] is ClosingStep.KILL


def test_a_worker_that_is_held_up_while_it_closes_is_excused() -> None:
    closing = Closing()
    assert _steps(closing, 10 * MOST_S, held_up=True) == []
    assert _steps(closing, TOLD_AFTER_S - 1, since_s=10 * MOST_S) == []
    assert ClosingStep.TELL in _steps(closing, 2.0, since_s=10 * MOST_S + TOLD_AFTER_S - 1)


def test_a_supervisor_that_was_stopped_itself_does_not_count_that_time() -> None:
    closing = Closing()
    assert closing.step(0, 1, held_up=False) is None
    assert closing.step(0, int(1000e9), held_up=False) is None
