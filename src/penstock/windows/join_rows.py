"""The rows of one key that a join keeps, of both sides: what they match, which stay without a match, which may go.

Rows stand in the order of their times, and equal times in the order of arrival. Whether a row has had a match is not
noted anywhere: it is seen from the other side's rows when the row is decided, and those are kept for as long.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, TypeAlias

from penstock.windows.intervals import LEFT, RIGHT, How, Match, Side, gives_unmatched

TimedRow: TypeAlias = tuple[int, Any]
"""Its time, and the row."""
_time = itemgetter(0)


def insert(rows: list[TimedRow], time: int, row: Any) -> int:
    """Put a row in its place; gives the place."""
    at = len(rows) if not rows or rows[-1][0] <= time else bisect_right(rows, time, key=_time)
    rows.insert(at, (time, row))
    return at


def matches(match: Match, side: Side, time: int, others: list[TimedRow]) -> list[Any]:
    """The rows of the other side that match a row of this side, in the order of their times."""
    if not others:
        return []
    start, stop = match.matching(side, time)
    return [row for _, row in others[bisect_left(others, start, key=_time) : bisect_left(others, stop, key=_time)]]


def has_match(match: Match, side: Side, time: int, others: list[TimedRow]) -> bool:
    """True: some row of the other side matches."""
    start, stop = match.matching(side, time)
    at = bisect_left(others, start, key=_time)
    return at < len(others) and others[at][0] < stop


def unmatched(
    match: Match, side: Side, rows: list[TimedRow], others: list[TimedRow], before: int, closed: int
) -> Iterator[TimedRow]:
    """Rows that are decided at `closed`, and were not at `before`, and have no match."""
    for time, row in rows:
        decided = match.decided_at(side, time)
        if decided > closed:
            return  # and so are all behind it
        if decided > before and not has_match(match, side, time, others):
            yield time, row


def needless(match: Match, side: Side, rows: list[TimedRow], how: How, closed: int) -> int:
    """How many of the first rows are needed no more."""
    count = 0
    while count < len(rows) and match.needed_until(side, rows[count][0], how) <= closed:
        count += 1
    return count


def next_event(match: Match, how: How, left: list[TimedRow], right: list[TimedRow], closed: int) -> int | None:
    """The next value of `closed` at which rows are decided or go; None: nothing is kept."""
    found = []
    for side, rows in ((LEFT, left), (RIGHT, right)):
        if rows:
            found.append(match.needed_until(side, rows[0][0], how))
            if gives_unmatched(how, side):
                found += [due for time, _ in rows if (due := match.decided_at(side, time)) > closed][:1]
    return min(found, default=None)


