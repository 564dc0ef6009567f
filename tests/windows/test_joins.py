"""Joins against brute force over all pairs, with rows out of order and late ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.windows.intervals import HOWS, LEFT, RIGHT, How, Interval, Match, SameWindow, Side, gives_unmatched
from penstock.windows.join_rows import TimedRow, insert, matches, needless, next_event, unmatched
from penstock.windows.slices import Slices

intervals = st.builds(Interval, st.integers(0, 8), st.integers(0, 8))
windows = st.builds(
    lambda size, offset: SameWindow(Slices(size, size, size, offset % size)), st.integers(1, 9), st.integers(0, 9)
)
events = st.lists(st.tuples(st.sampled_from([LEFT, RIGHT]), st.integers(0, 40)), max_size=30)
Pair = tuple[Any, Any]


class Join:
    """One key, as a verb would run it."""

    def __init__(self, match: Match, how: How) -> None:
        self.match, self.how = match, how
        self.rows: tuple[list[TimedRow], list[TimedRow]] = ([], [])
        self.closed = -1000
        self.given: list[Pair] = []
        self.most_kept = 0

    def take(self, side: Side, time: int, row: Any) -> bool:
        if self.match.is_late(time, self.closed):
            return False
        insert(self.rows[side], time, row)
        for other in matches(self.match, side, time, self.rows[1 - side]):
            self.given.append((row, other) if side == LEFT else (other, row))
        return True

    def advance(self, closed: int) -> None:
        due = next_event(self.match, self.how, *self.rows, self.closed)
        before = [list(rows) for rows in self.rows], len(self.given)
        self._advance(closed)
        if due is None or due > closed:
            assert ([list(rows) for rows in self.rows], len(self.given)) == before  # it may sleep until then

    def _advance(self, closed: int) -> None:
        for side in (LEFT, RIGHT):
            if gives_unmatched(self.how, side):
                for _, row in unmatched(self.match, side, self.rows[side], self.rows[1 - side], self.closed, closed):
                    self.given.append((row, None) if side == LEFT else (None, row))
        for side in (LEFT, RIGHT):
            del self.rows[side][: needless(self.match, side, self.rows[side], self.how, closed)]
        self.closed = closed


def belongs(match: Match, left: int, right: int) -> bool:
    if isinstance(match, Interval):
        return -match.before <= right - left <= match.after
    assert isinstance(match, SameWindow)
    return match.slices.end_of(left) == match.slices.end_of(right)


def model(match: Match, how: How, taken: Iterable[tuple[Side, int, Any]]) -> list[Pair]:
    rows = list(taken)
    lefts = [(time, row) for side, time, row in rows if side == LEFT]
    rights = [(time, row) for side, time, row in rows if side == RIGHT]
    found: list[Pair] = [(a, b) for s, a in lefts for t, b in rights if belongs(match, s, t)]
    if how in ("left", "outer"):
        found += [(a, None) for s, a in lefts if not any(belongs(match, s, t) for t, _ in rights)]
    if how in ("right", "outer"):
        found += [(None, b) for t, b in rights if not any(belongs(match, s, t) for s, _ in lefts)]
    return found


def key(pair: Pair) -> tuple[str, str]:
    return str(pair[0]), str(pair[1])


@pytest.mark.parametrize("how", HOWS)
@given(match=st.one_of(intervals, windows), events=events, disorder=st.integers(0, 20))
def test_a_join_gives_every_pair_once_and_each_row_without_a_match_once(
    how: How, match: Match, events: list[tuple[Side, int]], disorder: int
) -> None:
    join, taken = Join(match, how), []
    for number, (side, time) in enumerate(events):
        row = f"{'lr'[side]}{number}@{time}"
        if join.take(side, time, row):
            taken.append((side, time, row))
        if time - disorder > join.closed:
            join.advance(time - disorder)
    join.advance(1000)
    assert sorted(join.given, key=key) == sorted(model(match, how, taken), key=key)
    assert join.rows == ([], [])


@given(match=st.one_of(intervals, windows), times=st.lists(st.integers(0, 40), max_size=20), closed=st.integers(0, 60))
def test_a_row_is_kept_only_as_long_as_one_that_is_not_late_could_need_it(
    match: Match, times: list[int], closed: int
) -> None:
    join = Join(match, "inner")
    for time in times:
        join.take(LEFT, time, time)
    join.advance(closed)
    kept = [time for time, _ in join.rows[LEFT]]
    to_come = [time for time in range(-20, 100) if not match.is_late(time, closed)]
    assert kept == sorted(time for time in times if any(belongs(match, time, right) for right in to_come))
