"""Simulated deaths of a stage's workers: when successors are born, and when it is enough."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.supervisor.restart import FIRST_DELAY_S, JITTER, MOST_DELAY_S, Escalate, Restart, RestartPolicy

chances = st.floats(0, 1, exclude_max=True)


@dataclass(frozen=True)
class Dying:
    """One death, so long after the one before."""

    after_s: float
    slot: int
    counted: bool
    progressed: bool
    chance: float


deaths = st.lists(
    st.builds(Dying, st.floats(0, 30), st.integers(0, 2), st.booleans(), st.booleans(), chances), max_size=60
)


@given(deaths, st.integers(1, 12), st.floats(1, 100))
def test_the_stage_has_failed_exactly_when_more_counted_deaths_fall_into_the_window(
    schedule: list[Dying], most: int, within_s: float
) -> None:
    policy, now, counted = RestartPolicy(most, within_s), 1000.0, list[float]()
    for death in schedule:
        now += death.after_s
        decision = policy.decide(
            death.slot, now, counted=death.counted, progressed=death.progressed, chance=death.chance
        )
        if not death.counted:
            assert decision == Restart(0.0)
            continue
        counted.append(now)
        in_window = [at for at in counted if at > now - within_s]
        assert isinstance(decision, Escalate) == (len(in_window) > most)


@given(deaths)
def test_a_life_that_got_something_done_is_followed_at_once(schedule: list[Dying]) -> None:
    policy, now = RestartPolicy(1e9, 60.0), 0.0
    for death in schedule:
        now += death.after_s
        decision = policy.decide(
            death.slot, now, counted=death.counted, progressed=death.progressed, chance=death.chance
        )
        if death.progressed or not death.counted:
            assert decision == Restart(0.0)


@given(st.lists(chances, min_size=2, max_size=40))
def test_lives_that_get_nothing_done_are_followed_later_and_later_up_to_a_limit(drawn: list[float]) -> None:
    policy = RestartPolicy(1e9, 60.0)
    delays = []
    for number, chance in enumerate(drawn):
        decision = policy.decide(0, float(number), counted=True, progressed=False, chance=chance)
        assert isinstance(decision, Restart)
        delays.append(decision.after_s)
    assert delays[0] == 0.0  # it may have been somebody's doing
    for number, delay in enumerate(delays[1:]):
        plain = min(FIRST_DELAY_S * 2**number, MOST_DELAY_S)
        assert plain * (1 - JITTER) <= delay <= plain * (1 + JITTER)


def test_progress_ends_the_back_off() -> None:
    policy = RestartPolicy(1e9, 60.0)

    def dies(progressed: bool) -> float:
        decision = policy.decide(0, 0.0, counted=True, progressed=progressed, chance=0.5)
        assert isinstance(decision, Restart)
        return decision.after_s

    assert [dies(progressed) for progressed in (False, False, False, True, False, False)] == [
        0.0, FIRST_DELAY_S, 2 * FIRST_DELAY_S, 0.0, 0.0, FIRST_DELAY_S,
    ]


def test_slots_back_off_apart_but_count_together() -> None:
    policy = RestartPolicy(3, 60.0)
    decisions = [policy.decide(slot, 0.0, counted=True, progressed=False, chance=0.5) for slot in (0, 1, 2, 0)]
    assert decisions[:3] == [Restart(0.0)] * 3
    assert isinstance(decisions[3], Escalate)
    assert "died 4 times within 60 s" in decisions[3].reason


@pytest.mark.parametrize("progressed", [True, False])
def test_blamed_deaths_never_add_up_to_a_failure(progressed: bool) -> None:
    policy = RestartPolicy(1, 60.0)
    for _ in range(1000):
        assert policy.decide(0, 0.0, counted=False, progressed=progressed, chance=0.5) == Restart(0.0)
