"""Rows that time made an operator give and that are not passed on yet: in the state, for a commit may come between.

Killed between two of them, a successor continues with the next one: what has made them is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock.operators.keyed_operator import KeyFailed
from penstock.operators.keyed_state import StageState


class Pending:
    """Those of one operator in one slot."""

    def __init__(self, state: StageState) -> None:
        self._shelf = state.lists("pending", in_memory=True)
        self._looked = False

    def left(self) -> Iterator[Any]:
        """Rows that an earlier life has left."""
        if self._looked:
            return
        self._looked = True
        entry = self._shelf.find(None)
        while entry is not None and entry.value:
            row = entry.value[0]
            self._shelf.evict(entry, 1)
            yield row
        if entry is not None:
            self._shelf.remove(entry)

    def through(self, rows: Sequence[Any]) -> Iterator[Any]:
        """Pass rows on, one after the other: with each, the others are still to come."""
        kept = [row for row in rows[1:] if not isinstance(row, KeyFailed)]
        for row in kept:
            self._shelf.append(None, row)
        yield from rows[:1]
        if not kept:
            return
        entry = self._shelf.find(None)
        assert entry is not None
        for row in kept:
            self._shelf.evict(entry, 1)
            yield row
        self._shelf.remove(entry)
