"""What pages say of event time: the least of the slots that are waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.metrics import event_times
from penstock.metrics.catalogue import (
    MOST_TIMED_EDGES,
    PAGE_BYTES,
    PAGE_WORDS,
    Word,
    watermark_of_word,
    watermark_word,
)
from penstock.metrics.snapshot import PageReading

WALL_S = 2_000.0


def page(*told: tuple[int, int, int]) -> PageReading:
    """(watermark, inputs, idle inputs) of the stage and its edges."""
    words = [0] * PAGE_WORDS
    for place, (watermark, inputs, idle) in enumerate(told):
        at = Word.EVENT_TIME + 3 * place
        words[at : at + 3] = [watermark_word(watermark), inputs, idle]
    return PageReading(0, tuple(words))


@given(st.integers(NO_WATERMARK, END_OF_TIME))
def test_a_watermark_fits_into_a_word_and_comes_back(watermark: int) -> None:
    assert 0 <= watermark_word(watermark) < 2**64
    assert watermark_of_word(watermark_word(watermark)) == watermark


def test_the_words_of_all_edges_fit_into_a_page() -> None:
    assert PAGE_WORDS * 8 <= PAGE_BYTES
    assert Word.EVENT_TIME + 3 * (1 + MOST_TIMED_EDGES) == PAGE_WORDS


def test_a_page_that_says_nothing_is_of_a_stage_without_times() -> None:
    assert event_times.of_stage([PageReading(0, (0,) * PAGE_WORDS)], WALL_S) is None
    assert event_times.of_stage([], WALL_S) is None


def test_the_slot_that_is_furthest_behind_counts() -> None:
    told = event_times.of_stage([page((1_500_000_000, 1, 0)), page((1_000_000_000, 1, 0))], WALL_S)
    assert told is not None
    assert (told.watermark_s, told.lag_s, told.ended) == (1000.0, 1000.0, False)
    assert (told.inputs, told.idle_inputs) == (2, 0)


def test_an_idle_slot_is_left_out_unless_all_are() -> None:
    ahead, idle = page((1_500_000_000, 1, 0)), page((1_000_000_000, 1, 1))
    told = event_times.of_stage([ahead, idle], WALL_S)
    assert told is not None and told.watermark_s == 1500.0 and told.idle_inputs == 1
    told = event_times.of_stage([idle], WALL_S)
    assert told is not None and told.watermark_s == 1000.0


@pytest.mark.parametrize(("watermark", "ended"), [(NO_WATERMARK, False), (END_OF_TIME, True)])
def test_nothing_yet_and_the_end_are_no_moments(watermark: int, ended: bool) -> None:
    told = event_times.of_edge([page((0, 1, 0), (watermark, 4, 0))], 0, WALL_S)
    assert told is not None
    assert (told.watermark_s, told.lag_s, told.ended, told.inputs) == (None, None, ended, 4)


def test_edges_beyond_those_that_a_page_holds_say_nothing() -> None:
    assert event_times.of_edge([page((0, 1, 0))], MOST_TIMED_EDGES, WALL_S) is None
