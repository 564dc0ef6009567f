"""The watchdog's clock: a row is charged for time in which its worker could run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.supervisor.watchdog import Watchdog

MS = 1_000_000
LIMIT = 2000 * MS


def test_a_row_that_hangs_is_overdue_once_its_time_is_over() -> None:
    dog = Watchdog()
    looks = [dog.overdue(0, LIMIT, at * MS, held_up=False) for at in range(0, 3000, 250)]
    assert looks == [at * MS > LIMIT for at in range(0, 3000, 250)]


def test_the_next_row_has_its_own_time() -> None:
    dog = Watchdog()
    assert not any(dog.overdue(at // 1500 * 1500 * MS, LIMIT, at * MS, held_up=False) for at in range(0, 20_000, 250))


@given(st.lists(st.tuples(st.integers(1, 900), st.booleans()), min_size=1, max_size=60))
def test_a_worker_that_was_held_up_has_the_time_afterwards(steps: list[tuple[int, bool]]) -> None:
    dog, now, free = Watchdog(), 0, 0
    dog.overdue(0, LIMIT, 0, held_up=False)
    for passed, held_up in steps:
        now += passed * MS
        free += 0 if held_up else passed * MS
        assert dog.overdue(0, LIMIT, now, held_up=held_up) == (free > LIMIT)


def test_what_was_stopped_with_its_supervisor_is_not_overdue() -> None:
    dog = Watchdog()
    assert not dog.overdue(0, LIMIT, 250 * MS, held_up=False)
    assert not dog.overdue(0, LIMIT, 60_000 * MS, held_up=False)
    assert dog.overdue(0, LIMIT, 60_000 * MS + 500 * MS, held_up=False) is False
    for at in range(250, 2500, 250):
        overdue = dog.overdue(0, LIMIT, (60_000 + at) * MS, held_up=False)
    assert overdue


def test_a_row_that_was_stopped_before_the_first_look_is_not_overdue() -> None:
    dog = Watchdog()
    assert not dog.overdue(0, LIMIT, 100 * MS, held_up=False)
    assert not dog.overdue(150 * MS, LIMIT, 5000 * MS, held_up=True)
