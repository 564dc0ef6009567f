"""Results that are given before a window is complete, and given again once they have changed.

What was given last of each key and window is kept; the next result of it is given where it differs. With retractions,
what was given is taken back first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from penstock.operators.keyed_operator import KeyFailed

R = TypeVar("R")


class Change(msgspec.Struct, Generic[R], frozen=True):
    """A result that is new, or one that was given earlier and does not hold any more."""

    row: R
    added: bool
    """False: the row is taken back; one with the same values was given before."""


def changes(
    given: tuple[Any, ...] | None, now: tuple[Any, ...] | None, row_of: Callable[[tuple[Any, ...]], Any],
    note: Callable[[tuple[Any, ...] | None], None], *, retracts: bool,
) -> Iterator[Any]:
    """The rows that tell of a result that was `given` and is `now`; None: there is none.

    `note` writes to the state what has been given; it is called before each row.
    """
    if given == now:
        return
    if retracts and given is not None:
        row = row_of(given)
        note(None)
        yield row if isinstance(row, KeyFailed) else Change(row, added=False)
    if now is not None:
        row = row_of(now)
        note(now)
        yield Change(row, added=True) if retracts and not isinstance(row, KeyFailed) else row


def is_due(before_us: int, now_us: int, every_us: int) -> bool:
    """True: event time has passed a multiple of `every_us`."""
    return now_us // every_us > before_us // every_us
