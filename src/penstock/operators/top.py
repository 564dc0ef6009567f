"""`top`: of the rows of each key, those for which something is largest, given again whenever they change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from penstock.operators.event_time import Field
from penstock.operators.frozen import is_frozen
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator, KeyOf
from penstock.operators.keyed_state import StageState
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes
from penstock.signatures.annotations import returned_by
from penstock.signatures.callables import fn_name


class Top(KeyedOperator, frozen=True):
    """`fn(row)` is what counts. Gives the list of the key's `rows` best rows, the best first, when a row enters it."""

    verb: ClassVar[str] = "top"
    becomes: ClassVar[Becomes] = Becomes.ROWS
    needs_result: ClassVar[str] = "return what counts"

    rows: int = 1

    @property
    def name(self) -> str:
        """`top(3, by='score')`, as messages show it."""
        return f"top({self.rows}, by={repr(self.fn.name) if isinstance(self.fn, Field) else fn_name(self.fn)})"

    def row_given(self, before: Any) -> Any:
        return list[before] if before is not Any else Any

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if not isinstance(self.rows, int) or isinstance(self.rows, bool) or self.rows < 1:
            yield f"{name}: {self.rows!r} is not a number of at least 1", "write how many rows are wanted, like 3"
        if returned_by(self.fn) is bool:
            yield f"{name}: what counts is True or False", "return something that has an order, like a number"

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        return TopCall(fn, self.key_of(), self.rows, state)


class TopCall(KeyedCall):
    """One slot's `top`."""

    def __init__(self, by: Callable[[Any], Any], key_of: KeyOf, most: int, state: StageState) -> None:
        self._by = by
        self._key_of = key_of
        self._most = most
        self._shelf = state.values("")

    def __call__(self, row: Any) -> list[list[Any]]:
        key, by = self._key_of(row), self._by(row)
        if by != by:  # NaN: it would keep better rows out, as nothing is larger than it
            raise ValueError(f"{by!r} cannot be ranked; filter such rows out before top")
        entry = self._shelf.find(key)
        best: tuple[tuple[Any, Any], ...] = () if entry is None else entry.value
        place = len(best)
        while place and best[place - 1][0] < by:  # of equal ones, the one that came first is better
            place -= 1
        if place >= self._most:
            return []
        best = (*best[:place], (by, _copy(row)), *best[place : self._most - 1])
        if entry is None:
            self._shelf.add(key, best)
        else:
            self._shelf.replace(entry, best)
        return [[_copy(row) for _, row in best]]


def _copy(row: Any) -> Any:
    """What is kept is not what others are given, and may change."""
    return row if is_frozen(row) else copy.deepcopy(row)
