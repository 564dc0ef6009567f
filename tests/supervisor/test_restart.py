"""Simulated deaths of a stage's workers: when successors are born, and when it is enough."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.supervisor.restart import (
    FIRST_DELAY_S,
    JITTER,
    MOST_DELAY_S,
    Escalate,
    Progress,
    Restart,
    RestartPolicy,
    Wait,
)

chances = st.floats(0, 1, exclude_max=True)


@dataclass(frozen=True)
class Dying:
    """One death, so long after the one before."""

    after_s: float
    slot: int
    counted: bool
    progress: Progress
    chance: float


deaths = st.lists(
    st.builds(Dying, st.floats(0, 30), st.integers(0, 2), st.booleans(), st.sampled_from(Progress), chances),
    max_size=60,
)


@given(deaths, st.integers(1, 12), st.floats(1, 100))
def test_the_stage_has_failed_exactly_when_one_slot_dies_too_often_without_progress(
    schedule: list[Dying], most: int, within_s: float
) -> None:
    policy, now = RestartPolicy(most, within_s), 1000.0
    counted: dict[int, list[float]] = {}
    for death in schedule:
        now += death.after_s
        decision = policy.decide(
            death.slot, now, counted=death.counted, progress=death.progress, chance=death.chance
        )
        if death.progress is Progress.COMMITTED:
            counted[death.slot] = []
        if not death.counted or death.progress is Progress.COMMITTED:
            assert decision == Restart(0.0)
            continue
        counted.setdefault(death.slot, []).append(now)
        in_window = [at for at in counted[death.slot] if at > now - within_s]
        assert isinstance(decision, Escalate) == (len(in_window) > most)


@given(deaths)
def test_a_life_that_was_through_with_opening_is_followed_at_once(schedule: list[Dying]) -> None:
    policy, now = RestartPolicy(1e9, 60.0), 0.0
    for death in schedule:
        now += death.after_s
        decision = policy.decide(
            death.slot, now, counted=death.counted, progress=death.progress, chance=death.chance
        )
        if death.progress is not Progress.NONE or not death.counted:
            assert decision == Restart(0.0)


@given(st.lists(chances, min_size=2, max_size=40))
def test_lives_that_get_nothing_done_are_followed_later_and_later_up_to_a_limit(drawn: list[float]) -> None:
    policy = RestartPolicy(1e9, 60.0)
    delays = []
    for number, chance in enumerate(drawn):
        decision = policy.decide(0, float(number), counted=True, progress=Progress.NONE, chance=chance)
        assert isinstance(decision, Restart)
        delays.append(decision.after_s)
    assert delays[0] == 0.0  # it may have been somebody's doing
    for number, delay in enumerate(delays[1:]):
        plain = min(FIRST_DELAY_S * 2**number, MOST_DELAY_S)
        assert plain * (1 - JITTER) <= delay <= plain * (1 + JITTER)


@pytest.mark.parametrize("through", [Progress.COMMITTED, Progress.IDLE])
def test_progress_ends_the_back_off(through: Progress) -> None:
    policy = RestartPolicy(1e9, 60.0)

    def dies(progress: Progress) -> float:
        decision = policy.decide(0, 0.0, counted=True, progress=progress, chance=0.5)
        assert isinstance(decision, Restart)
        return decision.after_s

    none = Progress.NONE
    assert [dies(progress) for progress in (none, none, none, through, none, none)] == [
        0.0, FIRST_DELAY_S, 2 * FIRST_DELAY_S, 0.0, 0.0, FIRST_DELAY_S,
    ]


@pytest.mark.parametrize("slots", [1, 12, 500])
def test_a_stage_of_any_size_outlives_the_death_of_each_of_its_workers(slots: int) -> None:
    policy = RestartPolicy(3, 60.0)
    for _ in range(3):
        for slot in range(slots):
            decision = policy.decide(slot, 0.0, counted=True, progress=Progress.IDLE, chance=0.5)
            assert decision == Restart(0.0)
    decision = policy.decide(0, 0.0, counted=True, progress=Progress.IDLE, chance=0.5)
    assert isinstance(decision, Escalate)
    assert "died 4 times within 60 s" in decision.reason


def test_a_killer_that_never_stops_does_not_fail_a_stage_that_gets_on() -> None:
    policy = RestartPolicy(3, 60.0)
    for number in range(1000):
        kind = Progress.COMMITTED if number % 3 == 2 else Progress.NONE
        decision = policy.decide(0, number / 10, counted=True, progress=kind, chance=0.5)
        assert isinstance(decision, Restart)


def test_the_same_error_twice_before_anything_was_done_is_enough() -> None:
    policy = RestartPolicy(10, 60.0)
    first = policy.decide(0, 0.0, counted=True, progress=Progress.NONE, chance=0.5, same="open|KeyError|a.py:3")
    again = policy.decide(0, 0.1, counted=True, progress=Progress.NONE, chance=0.5, same="open|KeyError|a.py:3")
    assert first == Restart(0.0)
    assert isinstance(again, Escalate)


@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=10), st.booleans())
def test_errors_that_differ_or_may_pass_or_come_later_are_left_to_the_limit(errors: list[str], proven: bool) -> None:
    policy = RestartPolicy(1e9, 60.0)
    before = ""
    for error in errors:
        decision = policy.decide(
            0, 0.0, counted=True, progress=Progress.NONE, chance=0.5, same=error, proven=proven
        )
        enough = bool(error) and error == before and not proven
        assert isinstance(decision, Escalate) == enough
        before = error


@pytest.mark.parametrize("progress", list(Progress))
def test_blamed_deaths_never_add_up_to_a_failure(progress: Progress) -> None:
    policy = RestartPolicy(1, 60.0)
    for _ in range(1000):
        assert policy.decide(0, 0.0, counted=False, progress=progress, chance=0.5) == Restart(0.0)


@dataclass(frozen=True)
class Leaving:
    """A life that ended because something was down."""

    lived_s: float
    retry_after_s: float | None
    chance: float


leavings = st.lists(
    st.builds(Leaving, st.floats(0, 1e6), st.none() | st.floats(0, 1e5), chances), min_size=1, max_size=200
)


@given(leavings, st.floats(1, 1e5))
def test_waiting_for_what_is_down_has_an_end_and_never_counts_as_a_death(
    schedule: list[Leaving], limit_s: float
) -> None:
    policy, waited = RestartPolicy(1, 1e9), 0.0
    for leaving in schedule:
        decision = policy.unavailable(
            0, progress=Progress.NONE, lived_s=leaving.lived_s, retry_after_s=leaving.retry_after_s, limit_s=limit_s,
            chance=leaving.chance,
        )
        if isinstance(decision, Escalate):
            break
        waited += decision.after_s
        assert waited <= limit_s * (1 + 1e-9)
        if leaving.retry_after_s is not None:
            assert decision.after_s <= max(leaving.retry_after_s, FIRST_DELAY_S)
    assert isinstance(policy.decide(0, 0.0, counted=True, progress=Progress.NONE, chance=0.5), Restart)


def test_what_was_committed_in_between_gives_the_whole_time_back() -> None:
    policy = RestartPolicy(1, 60.0)
    for _ in range(1000):
        decision = policy.unavailable(
            0, progress=Progress.COMMITTED, lived_s=10.0, retry_after_s=None, limit_s=60.0, chance=0.5
        )
        assert isinstance(decision, Wait) and decision.times == 1
