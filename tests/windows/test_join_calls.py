"""Joins over the real state, with kills, rows that fail, and rows out of order and late, against all pairs."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_driver import Driver, Event, Times

import penstock as ps
from penstock.operators.joined.join import Join
from penstock.operators.joined.right_row import RightRow
from penstock.slot.state.slot_state import SlotState
from penstock.windows.intervals import HOWS, LEFT, RIGHT, How, Interval, Match, SameWindow

MICROSECOND = 1e-6

events = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.sampled_from([LEFT, RIGHT])), min_size=1, max_size=30
)
spans = st.integers(0, 8)
joins = st.one_of(
    st.builds(lambda before, after: {"within": (before * MICROSECOND, after * MICROSECOND)}, spans, spans),
    st.builds(
        lambda size, offset: {"window": ps.tumbling(size * MICROSECOND, offset=offset * MICROSECOND)},
        st.integers(1, 9), spans,
    ),
)


class Sided(Driver):
    """Events of both sides."""

    def time_of(self, event: Any) -> int:
        return (event.row if isinstance(event, RightRow) else event).t  # type: ignore[no-any-return]


@settings(max_examples=50)
@given(
    options=joins, how=st.sampled_from(HOWS), events=events, disorder=st.integers(0, 20), lateness=st.integers(0, 5),
    seed=st.integers(0, 2**32),
)
def test_a_join_gives_all_pairs_once_and_what_has_no_match(
    options: dict[str, Any], how: How, events: list[tuple[str, int, int]], disorder: int, lateness: int, seed: int
) -> None:
    times = Times()
    of = Join(None, "f.py:1", key="k", right_key="k", how=how, lateness=lateness * MICROSECOND, **options)
    of = of.between(Event, Event, times, times)
    rows = [Event(key, time, number) for number, (key, time, _) in enumerate(events)]
    given = [row if side == LEFT else RightRow(row) for row, (_, _, side) in zip(rows, events, strict=True)]
    driver = Sided(of, given, disorder, random.Random(seed))
    driver.run()
    counted = [
        (side, row) for row, (_, _, side), watermark in zip(rows, events, driver.watermarks, strict=True)
        if not of.match.is_late(row.t, watermark - lateness)
    ]
    assert sorted(map(numbers, driver.given)) == sorted(model(of.match, how, counted))
    assert driver.late == len(rows) - len(counted)
    assert [list(side.buffers.all()) for side in driver.call.sides] == [[], []]  # type: ignore[attr-defined]


def numbers(pair: tuple[Event | None, Event | None]) -> tuple[int, int]:
    left, right = pair
    return -1 if left is None else left.v, -1 if right is None else right.v


def model(match: Match, how: How, rows: list[tuple[int, Event]]) -> list[tuple[int, int]]:
    lefts = [row for side, row in rows if side == LEFT]
    rights = [row for side, row in rows if side == RIGHT]
    pairs = [(a, b) for a in lefts for b in rights if a.k == b.k and belongs(match, a.t, b.t)]
    found = [(a.v, b.v) for a, b in pairs]
    if how in ("left", "outer"):
        found += [(a.v, -1) for a in lefts if not any(a is pair[0] for pair in pairs)]
    if how in ("right", "outer"):
        found += [(-1, b.v) for b in rights if not any(b is pair[1] for pair in pairs)]
    return found


def belongs(match: Match, left: int, right: int) -> bool:
    if isinstance(match, Interval):
        return -match.before <= right - left <= match.after
    assert isinstance(match, SameWindow)
    return match.slices.end_of(left) == match.slices.end_of(right)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"within": "soon"}, "'soon' is not a duration"),
        ({"within": "1s", "how": "cross"}, "how='cross'"),
        ({"window": ps.sliding("10s", every="5s")}, "may be in several windows"),
        ({"window": ps.session("10s")}, "may be in several windows"),
    ],
)
def test_joins_that_cannot_be_are_told(options: dict[str, Any], what: str) -> None:
    join = Join(None, "f.py:1", key="k", right_key="k", **options)
    assert any(what in found and remedy for found, remedy in join.mistakes(join.name))


@settings(max_examples=50)
@given(options=joins, times=st.lists(st.integers(0, 40), max_size=20), closed=st.integers(0, 60))
def test_a_row_is_kept_only_as_long_as_one_that_is_not_late_could_need_it(
    options: dict[str, Any], times: list[int], closed: int
) -> None:
    of = Join(None, "f.py:1", key="k", right_key="k", **options).between(Event, Event, Times(), Times())
    state = SlotState()
    call = of.with_state(None, state.stage("s").undo, state.stage("s").of("join"))  # type: ignore[arg-type]
    for time in times:
        call(Event("a", time, 0))
    for watermark in (closed, closed + 1):  # what the first one leaves over goes with the next one
        assert list(call.advance(watermark)) == []
    to_come = [time for time in range(-20, 100) if not of.match.is_late(time, closed)]
    [buffer] = call.sides[LEFT].buffers.all() or [None]  # type: ignore[attr-defined]
    kept = [] if buffer is None else buffer.times
    assert [time for time in sorted(times) if any(belongs(of.match, time, right) for right in to_come)] == kept
