"""The watermark of several inputs: the least of those that are waited for; idle ones are set aside and come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.slot.watermarks.origin import Origin, together

MOMENTS = st.one_of(st.integers(-5, 5), st.sampled_from([NO_WATERMARK, END_OF_TIME]))


def origin(watermark: int = NO_WATERMARK, *, idle: bool = False) -> Origin:
    made = Origin()
    made.watermark, made.idle = watermark, idle
    return made


@given(st.lists(st.tuples(MOMENTS, st.booleans()), min_size=1, max_size=5))
def test_the_least_of_those_that_are_waited_for(inputs: list[tuple[int, bool]]) -> None:
    left = [(watermark, idle) for watermark, idle in inputs if watermark != END_OF_TIME]
    active = [watermark for watermark, idle in left if not idle]
    watermark, all_idle = together(origin(watermark, idle=idle) for watermark, idle in inputs)
    if active:
        assert (watermark, all_idle) == (min(active), False)
    elif left:
        assert (watermark, all_idle) == (max(watermark for watermark, _ in left), True)
    else:
        assert (watermark, all_idle) == (END_OF_TIME, False)


def test_nothing_to_read_from_is_idle_and_not_at_its_end() -> None:
    assert together([]) == (NO_WATERMARK, True)


@given(st.lists(MOMENTS, max_size=8))
def test_it_never_goes_back(watermarks: list[int]) -> None:
    made, most = Origin(), NO_WATERMARK
    for watermark in watermarks:
        made.raise_to(watermark)
        most = max(most, watermark)
        assert made.watermark == most


def test_an_input_is_idle_once_it_has_had_nothing_for_so_long() -> None:
    made = origin(3)
    made.had_nothing = True
    for now_s in (10.0, 11.0, 11.9):
        made.look(now_s, 2.0)
        assert not made.idle
    assert made.idle_in_s(2.0) == 2.0 - (11.9 - 10.0)
    made.look(12.1, 2.0)
    assert made.idle and made.idle_in_s(2.0) is None


def test_an_idle_input_counts_again_with_its_next_row_and_its_time_starts_over() -> None:
    made = origin(3, idle=True)
    made.has_come()
    assert not made.idle
    made.had_nothing = True
    made.look(100.0, 2.0)
    made.look(101.0, 2.0)
    assert not made.idle


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """A slot that was stopped for an hour, or ran a slow function, has not looked whether something was there."""
    made = origin(3)
    made.had_nothing = True
    made.look(0.0, 10.0)
    made.look(3600.0, 10.0)
    assert not made.idle


def test_a_clock_that_stands_still_while_output_is_held_up_makes_nothing_idle() -> None:
    made = origin(3)
    made.had_nothing = True
    for _ in range(100):
        made.look(5.0, 0.5)
    assert not made.idle
