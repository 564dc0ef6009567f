"""`scan`: a running value for each key, and a row for each row."""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from penstock.operators.frozen import is_frozen
from penstock.operators.keyed_operator import KeyedCall, KeyedOperator, KeyOf
from penstock.operators.keyed_state import StageState, Values
from penstock.operators.undo_log import UndoLog
from penstock.signatures.annotations import returned_by, shown, taken_by
from penstock.signatures.fields_read import both, fields_of, fields_read
from penstock.signatures.row_classes import can_take


class Scan(KeyedOperator, frozen=True):
    """`fn(state, row)` returns the key's next state and the row to pass on."""

    verb: ClassVar[str] = "scan"
    arguments: ClassVar[tuple[str, ...]] = ("the state", "the row")
    needs_result: ClassVar[str] = "return the state and the row, as a tuple"

    initial: Any = None
    """The state before the first row of a key."""

    @property
    def row_taken(self) -> Any:
        return taken_by(self.fn, 1)

    def row_given(self, before: Any) -> Any:
        return _parts(returned_by(self.fn))[1]

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        return both(fields_of([self.key], row_class), fields_read(self.fn, row_class, 1))

    @property
    def state_type(self) -> Any:
        """The annotation of a state: of what `fn` returns, of what it takes, or the class of the first one."""
        for said in (_parts(returned_by(self.fn))[0], taken_by(self.fn)):
            if said is not Any:
                return said
        return Any if self.initial is None else type(self.initial)

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        given = returned_by(self.fn)
        if given is not None and not can_take(tuple, given):
            yield f"{name} returns {shown(given)}, but must return the state and the row, as a tuple", "return both"
        taken = taken_by(self.fn)
        if not can_take(taken, type(self.initial)):
            what = f"{name} takes a state that is {shown(taken)}, but the first one is {shown(type(self.initial))}"
            yield what, f"begin with one that is {shown(taken)}"

    def with_state(self, fn: Callable[..., Any], undo: UndoLog, state: StageState) -> KeyedCall:
        return ScanCall(fn, self.key_of(), self.initial, state.values("", self.state_type))


class ScanCall(KeyedCall):
    """One slot's `scan`."""

    def __init__(self, fn: Callable[[Any, Any], Any], key_of: KeyOf, initial: Any, shelf: Values) -> None:
        self._fn = fn
        self._key_of = key_of
        self._initial = initial
        self._is_frozen = is_frozen(initial)
        self._shelf = shelf
        self._entries = shelf.entries
        self._touched = shelf.touched
        self._keep = shelf.keep

    def __call__(self, row: Any) -> Any:
        key = self._key_of(row)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._shelf.find(key)
            if entry is None:
                pair = self._fn(self._initial if self._is_frozen else copy.deepcopy(self._initial), row)
                if pair.__class__ is not tuple or len(pair) != 2:
                    raise _no_pair(pair)
                self._shelf.add(key, pair[0])
                return pair[1]
        self._keep(entry)
        pair = self._fn(entry.value, row)
        if pair.__class__ is not tuple or len(pair) != 2:
            raise _no_pair(pair)
        entry.value = pair[0]
        if entry.stamp != self._touched.turn:
            self._touched.add(entry)
        return pair[1]


def _no_pair(given: Any) -> TypeError:
    shown = f"{len(given)} values" if isinstance(given, tuple) else type(given).__name__
    return TypeError(f"a scan function returned {shown}; return the state and the row, as a tuple of two")


def _parts(annotation: Any) -> tuple[Any, Any]:
    """The two of a `tuple[S, R]`."""
    args = typing.get_args(annotation)
    if typing.get_origin(annotation) is tuple and len(args) == 2 and args[1] is not Ellipsis:
        return args[0], args[1]
    return Any, Any
