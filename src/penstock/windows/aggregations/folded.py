"""`fold`: a value of the user's own that each row changes, by a function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from penstock.signatures.annotations import returned_by, shown
from penstock.signatures.callables import fn_name
from penstock.windows.aggregations.aggregation import Aggregation, Names

_UNCHANGING = (int, float, bool, str, bytes, type(None), date, datetime, time, timedelta, Decimal)


class Folded(Aggregation, frozen=True):
    """Place: the value. `fn` is given a copy where it might change it: a row that fails leaves the value as it was."""

    initial: Any = None
    fn: Any = None
    merge: Any = None
    """Makes one value of two; None: windows are never put together."""

    verb: ClassVar[str] = "fold"
    guard: ClassVar[int] = -1

    @property
    def call(self) -> str:
        return f"fold({fn_name(self.fn)})"

    @property
    def names(self) -> Mapping[str, Any]:
        folds = Folds(self.initial, self.fn, self.merge)
        return {"fold_first": folds.first, "fold_next": folds.next, "fold_both": folds.both}

    def first(self, x: Names) -> Sequence[str]:
        return (f"fold_first({x[0]})",)

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (f"fold_next({a[0]}, {x[0]})",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"fold_both({a[0]}, {b[0]})",)

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (self.result_type(types),)

    def result_type(self, types: Sequence[Any]) -> Any:
        given = returned_by(self.fn)
        if given is not Any and given is not None:
            return given
        return Any if self.initial is None else type(self.initial)

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        for name, fn in (("fn", self.fn), ("merge", self.merge)):
            if not callable(fn) and not (name == "merge" and fn is None):
                yield f"fold: {name} is {shown(type(fn))}, which cannot be called", "pass a function"
        if returned_by(self.fn) is None:
            yield "fold: the function is annotated to return None", "return the next value"


class Folds:
    """What is called of the user's functions."""

    def __init__(self, initial: Any, fn: Callable[[Any, Any], Any], merge: Callable[[Any, Any], Any] | None) -> None:
        self._initial = initial
        self._fn = fn
        self._merge = merge

    def first(self, row: Any) -> Any:
        return self._fn(_own(self._initial), row)

    def next(self, value: Any, row: Any) -> Any:
        return self._fn(_own(value), row)

    def both(self, value: Any, other: Any) -> Any:
        assert self._merge is not None
        return self._merge(_own(value), _own(other))


def _own(value: Any) -> Any:
    """The value, or a copy where it can be changed."""
    kind = value.__class__
    if kind in _UNCHANGING:
        return value
    if kind is list and all(map(_never_changes, value)):  # a deep copy of rows takes more than twice as long
        return value.copy()
    return copy.deepcopy(value)


def _never_changes(item: Any) -> bool:
    kind = item.__class__
    if kind in _UNCHANGING:
        return True
    if not issubclass(kind, msgspec.Struct) or not kind.__struct_config__.frozen or kind.__struct_config__.dict:
        return False
    return all(getattr(item, name).__class__ in _UNCHANGING for name in kind.__struct_fields__)
