"""Sessions of one key: rows that are less than a gap apart. A row may begin one, extend one, or join two.

A session is a list whose first two items are the time of its first and of its last row; what follows is its
accumulator. The sessions of a key are kept in the order of their times, which do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

FIRST: Final = 0
LAST: Final = 1
ACCUMULATOR: Final = 2
"""Where the accumulator begins."""

Session: TypeAlias = list[Any]


def add_row(
    sessions: list[Session], time: int, gap: int, begin: Callable[[], Session], add: Callable[[Session], None],
    merged: Callable[[Session, Session], Session],
) -> list[Session]:
    """Add a row at a time to the session that it belongs to; gives the sessions of the key afterwards, in their order.

    `begin` makes a session of this row alone, `add` adds the row to the accumulator of one, `merged` makes a new one of
    two. If one of them raises, all sessions are as they were, provided that `add` leaves its session alone when it
    raises.
    """
    at = len(sessions)
    while at and sessions[at - 1][FIRST] > time:
        at -= 1
    before = at > 0 and time - sessions[at - 1][LAST] < gap
    after = at < len(sessions) and sessions[at][FIRST] - time < gap
    if before and after:
        joined = merged(sessions[at - 1], sessions[at])
        joined[LAST] = sessions[at][LAST]
        add(joined)
        return [*sessions[: at - 1], joined, *sessions[at + 1 :]]
    if before or after:
        found = sessions[at - 1] if before else sessions[at]
        add(found)
        found[FIRST], found[LAST] = min(found[FIRST], time), max(found[LAST], time)
        return sessions
    return [*sessions[:at], begin(), *sessions[at:]]


def end_of(session: Session, gap: int) -> int:
    """Where a session ends, if nothing extends it."""
    end: int = session[LAST] + gap
    return end


def split_complete(sessions: list[Session], gap: int, closed: int) -> tuple[list[Session], list[Session]]:
    """Those that no row can extend any more, and the others. `closed`: the watermark less the lateness."""
    count = 0
    while count < len(sessions) and end_of(sessions[count], gap) <= closed:
        count += 1
    return sessions[:count], sessions[count:]


def is_late(time: int, closed: int) -> bool:
    """True: a session that the row belonged to may be given already."""
    return time < closed
