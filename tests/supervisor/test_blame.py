"""Who is blamed for a death: never a row that was merely in work, always, and soon, the one that did it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lives import STARTUP_S, Killer, Row, Slot

from penstock.slot.records.life import Suspect
from penstock.slot.records.work_page import READ_ONCE, TURN_INPUT, Mark
from penstock.supervisor.blame import Blame, Cause, Death, Verdict

seeds = st.integers(0, 2**32)
LIVES = 600


def poisson(random: Random, mean_s: float) -> Killer:
    return lambda born_s: born_s + random.expovariate(1 / mean_s)


def periodic(period_s: float) -> Killer:
    return lambda born_s: (born_s // period_s + 1) * period_s


def after_each_birth(random: Random, delay_s: float, jitter: float) -> Killer:
    return lambda born_s: born_s + delay_s * random.uniform(1 - jitter, 1 + jitter)


def bursty(random: Random, quiet_s: float, burst: int, gap_s: float) -> Killer:
    """`burst` kills, `gap_s` apart, then a long quiet."""
    left = 0

    def kill(born_s: float) -> float:
        nonlocal left
        left = left - 1 if left else burst
        return born_s + random.expovariate(1 / (quiet_s if left == burst else gap_s))

    return kill


killers = st.sampled_from(["poisson", "periodic", "after birth", "exactly after birth", "bursty"])


def make_killer(kind: str, random: Random, pace_s: float) -> Killer:
    match kind:
        case "poisson":
            return poisson(random, pace_s)
        case "periodic":
            return periodic(pace_s)
        case "after birth":
            return after_each_birth(random, pace_s, 0.3)
        case "exactly after birth":
            return after_each_birth(random, pace_s, 0.0)
        case _:
            return bursty(random, 20 * pace_s, 5, pace_s / 5)


@given(seeds, killers, st.floats(0.05, 100.0), st.floats(0.001, 1000.0), st.integers(1, 40), st.booleans())
def test_an_innocent_row_is_never_blamed_whoever_kills_at_random(
    seed: int, kind: str, pace_s: float, row_s: float, rows: int, batched: bool
) -> None:
    random = Random(seed)
    slot = Slot([Row(row_s)] * rows, random, make_killer(kind, random, pace_s), batched)
    assert slot.run(LIVES).blamed == []


@pytest.mark.parametrize("kind", ["poisson", "periodic", "after birth", "exactly after birth", "bursty"])
@pytest.mark.parametrize("pace_s", [0.2, 3.0, 12.0])
def test_thousands_of_lives_of_a_row_that_no_life_is_long_enough_for_blame_nobody(kind: str, pace_s: float) -> None:
    random = Random(kind)
    slot = Slot([Row(3600.0)], random, make_killer(kind, random, pace_s))
    told = slot.run(3000)
    assert told.deaths == 3000
    assert told.blamed == []


def test_a_row_longer_than_the_time_between_kills_gets_through_for_want_of_pauses() -> None:
    random = Random(1)
    told = Slot([Row(2.0)] * 20, random, poisson(random, 3.0)).run(2000)
    assert told.done == 20
    assert told.blamed == []


def test_a_quiet_hour_before_the_first_kill_proves_nothing() -> None:
    """Two kills in a row's calls, after an hour without any: a burst is no proof, however long the quiet was."""
    blame = Blame(bisects=False, chance=lambda: 0.5)
    mark = Mark(0, 0, 7, 3, 1)
    for attempt, lived_s in enumerate([3600.0, 0.5, 3600.0], 1):
        verdict = blame.on_death(Death(Cause.KILLED, mark, 0.01, lived_s, "signal SIGKILL", attempt))
        assert verdict.blamed is None


dooms = st.sampled_from([Cause.OWN_DOING, Cause.KILLED, Cause.TIMED_OUT])


@given(seeds, st.integers(0, 255), st.integers(1, 256), dooms, st.floats(0.0, 2.0), st.booleans())
def test_the_row_that_does_it_is_blamed_soon_and_the_others_get_through(
    seed: int, poison: int, rows: int, doom: Cause, after_s: float, batched: bool
) -> None:
    poison %= rows
    worked = [Row(0.002)] * poison + [Row(doom=doom, after_s=after_s)] + [Row(0.002)] * (rows - poison - 1)
    told = Slot(worked, Random(seed), batched=batched).run(100)
    assert told.blamed == [poison]
    assert told.done == rows
    assert told.deaths <= (24 if doom is Cause.KILLED else 4)
    assert told.counted <= 3


@pytest.mark.parametrize("cause", [Cause.OWN_DOING, Cause.TIMED_OUT])
def test_a_row_alone_in_work_is_blamed_at_once_for_what_is_its_own_doing(cause: Cause) -> None:
    told = Slot([Row(doom=cause)], Random(0)).run(2)
    assert told.deaths == 1
    assert told.blamed == [0]
    assert told.counted == 0


def test_a_row_that_kills_itself_by_sigkill_at_once_is_blamed_within_six_deaths_and_seconds() -> None:
    told = Slot([Row(doom=Cause.KILLED, after_s=0.001)], Random(0)).run(20)
    assert told.deaths <= 6
    assert told.at_s < 10.0


def test_a_row_that_takes_its_time_to_kill_itself_is_blamed_within_a_minute_or_two() -> None:
    told = Slot([Row(doom=Cause.KILLED, after_s=1.0)], Random(0)).run(30)
    assert told.blamed == [0]
    assert told.deaths <= 16
    assert told.at_s < 180.0


@given(seeds, st.sets(st.integers(0, 63), min_size=1, max_size=6), dooms)
def test_every_poisonous_row_of_a_frame_is_found(seed: int, poison: set[int], doom: Cause) -> None:
    rows = [Row(doom=doom, after_s=0.001) if index in poison else Row(0.001) for index in range(64)]
    told = Slot(rows, Random(seed)).run(200)
    assert sorted(told.blamed) == sorted(poison)
    assert told.done == 64


@given(seeds)
def test_a_poisonous_row_is_found_while_somebody_kills_at_random(seed: int) -> None:
    random = Random(seed)
    rows = [Row(0.05)] * 5 + [Row(doom=Cause.KILLED, after_s=0.01)] + [Row(0.05)] * 5
    told = Slot(rows, random, poisson(random, 5.0)).run(500)
    assert told.blamed == [5]


def test_nothing_is_concluded_from_a_death_of_our_own_making() -> None:
    blame = Blame(bisects=False)
    mark = Mark(0, 0, 7, 3, 1)
    for attempt in range(1, 50):
        verdict = blame.on_death(Death(Cause.OURS, mark, 0.01, 1.0, "signal SIGKILL", attempt))
        assert verdict.blamed is None
        assert verdict.suspect is None
        assert not verdict.counted


@pytest.mark.parametrize("cause", [Cause.OWN_DOING, Cause.KILLED, Cause.TIMED_OUT])
@pytest.mark.parametrize("count", [1, 100])
def test_a_row_that_no_later_life_can_find_is_not_blamed_and_its_deaths_count(cause: Cause, count: int) -> None:
    blame = Blame(bisects=True)
    for attempt in range(1, 40):
        mark = Mark(0, 5, READ_ONCE + attempt, 7, count)
        verdict = blame.on_death(Death(cause, mark, in_call_s=0.0, lived_s=1.0, what="signal", attempt=attempt))
        assert verdict == Verdict()
        assert verdict.counted


def test_a_row_killed_once_is_not_paused_for() -> None:
    blame = Blame(bisects=False)
    verdict = blame.on_death(Death(Cause.KILLED, Mark(0, 0, 7, 3, 1), 5.0, 6.0, "signal SIGKILL", 1))
    assert verdict.suspect == Suspect(0, 0, 7, 3, 1, 1, 0.0)


def test_rows_around_the_one_that_is_watched_are_not_paused_for() -> None:
    blame = Blame(bisects=False, chance=lambda: 0.0)
    many, one = Mark(0, 0, 7, 0, 200), Mark(0, 0, 7, 9, 1)
    blame.on_death(Death(Cause.OWN_DOING, many, 0.01, 1.0, "signal SIGSEGV", 1))
    for attempt in (2, 3):
        suspect = blame.on_death(Death(Cause.KILLED, one, 0.01, 1.0, "signal SIGKILL", attempt)).suspect
    assert suspect is not None
    assert suspect.pause_s > 0
    assert suspect.covers(one)
    assert not suspect.covers(Mark(0, 0, 7, 10, 1))


def test_a_death_in_the_pause_ends_the_pauses_for_a_while() -> None:
    blame = Blame(bisects=False, chance=lambda: 0.0)
    mark = Mark(0, 0, 7, 3, 1)
    in_call = Death(Cause.KILLED, mark, 0.01, 0.01 + STARTUP_S, "signal SIGKILL", 1)
    verdicts = [blame.on_death(in_call) for _ in range(2)]
    verdicts.append(blame.on_death(Death(Cause.KILLED, None, 0.0, 0.1, "signal SIGKILL", 3)))
    verdicts += [blame.on_death(in_call) for _ in range(4)]
    pauses = [verdict.suspect.pause_s > 0 if verdict.suspect else None for verdict in verdicts]
    assert pauses == [False, True, False, False, False, False, True]


def test_deaths_that_stay_without_a_verdict_count_in_the_end() -> None:
    """A call of an hour that is killed each time: nobody can wait so long, so it is the stage that has a problem."""
    told = Slot([Row(doom=Cause.KILLED, after_s=3600.0)], Random(0)).run(100)
    assert told.blamed == []
    assert told.counted >= 60


def test_the_reason_says_how_it_died() -> None:
    mark = Mark(0, 0, 7, 3, 1)
    killed = Blame(bisects=False).on_death(Death(Cause.OWN_DOING, mark, 0.1, 1.0, "signal SIGSEGV", 4)).blamed
    hung = Blame(bisects=False).on_death(Death(Cause.TIMED_OUT, mark, 0.1, 1.0, "signal SIGKILL", 4)).blamed
    assert killed is not None
    assert hung is not None
    assert killed.reason == "the row killed its worker (signal SIGSEGV)"
    assert hung.reason == "the row hung its worker, which was killed (signal SIGKILL)"


def test_rows_of_several_batches_that_kill_are_narrowed_down_though_lives_take_them_together_and_apart() -> None:
    """After SIGKILL it takes two looks; a life that works batch by batch is followed by one that was told nothing."""
    blame = Blame(bisects=True)

    def killed(mark: Mark) -> Verdict:
        return blame.on_death(Death(Cause.KILLED, mark, 0.01, 1.0, "signal SIGKILL", 1))

    together, apart = Mark(0, TURN_INPUT, 8, 0, 30), Mark(0, 0, 4, 0, 20)
    assert killed(together).ungathered == 0
    assert killed(together).ungathered == 30
    assert killed(apart).suspect is None
    assert killed(together).ungathered == 30
    narrowed = killed(apart)
    assert narrowed.suspect is not None and (narrowed.suspect.row, narrowed.suspect.count) == (0, 20)
    assert not narrowed.counted
