"""Whether values are exactly what their annotations say: then typed msgpack gives them back as they were.

An int where a float stands would come back as a float, a Counter as a dict, a moment of a time zone in UTC. `codec`
asks for each batch and pickles those that are not exact. `plan/travel.py` says which annotations come here at all.
"""

# ruff: noqa: SIM110, SIM113  (plain loops are compiled well, and each value passes here)

from __future__ import annotations

import typing
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, SafeUUID

import msgspec
from msgspec.structs import astuple

from penstock.build import is_compiled
from penstock.plan.travel import is_union

_MOST_DEPTH: Final = 200
"""What is nested deeper is pickled: there is a limit to how deep msgpack can be read."""
_UNTOLD: Final = SafeUUID.unknown


class Exact:
    """What is asked of a value beyond its class."""

    def fits(self, value: Any, depth: int) -> bool:
        raise NotImplementedError


class Value(Exact):
    """A value of one of several classes: of the class itself, never of a subclass."""

    def __init__(self, options: dict[Any, Exact | None]) -> None:
        self.options = options
        usual = next(iter(options))
        self.kind: Any = usual if options[usual] is None else None
        """The usual class, where nothing else is asked of it; else None, which is no class."""

    def fits(self, value: Any, depth: int) -> bool:
        kind = type(value)
        if kind not in self.options:
            return False
        deeper = self.options[kind]
        return deeper is None or (depth < _MOST_DEPTH and deeper.fits(value, depth + 1))


class Fields(Exact):
    """The fields of a Struct."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.kinds: tuple[Any, ...] = ()
        self._of_row: tuple[Any, ...] = ()
        """The same, and `datetime` for moments, which are looked at afterwards."""
        self._moments: list[int] = []
        """Fields that are moments and nothing else."""

    def add(self, value: Value) -> None:
        self.values.append(value)
        if len(value.options) == 1 and isinstance(value.options.get(datetime), Moment):
            self._moments.append(len(self.kinds))
            self._of_row = (*self._of_row, datetime)
        else:
            self._of_row = (*self._of_row, value.kind)
        self.kinds = (*self.kinds, value.kind)

    def fits(self, value: Any, depth: int) -> bool:
        return self._each_fits(astuple(value), depth)

    def all_fit(self, tuples: list[Any], depth: int) -> bool:
        """The same for the values of several Structs."""
        kinds = self._of_row
        for each in tuples:
            values: tuple[Any, ...] = each
            for field, kind in zip(values, kinds):
                if type(field) is not kind:
                    if not self._each_fits(values, depth):
                        return False
                    break
        for place in self._moments:
            for each in tuples:
                moment = each[place]
                zone = moment.tzinfo
                if (zone is not None and zone is not UTC) or moment.fold:
                    return False
        return True

    def _each_fits(self, values: tuple[Any, ...], depth: int) -> bool:
        kinds, index = self.kinds, 0
        for field in values:
            if type(field) is not kinds[index] and not self.values[index].fits(field, depth):
                return False
            index += 1
        return True


class Elements(Exact):
    """Any number of values of one annotation."""

    def __init__(self, element: Value) -> None:
        self.element = element

    def fits(self, value: Any, depth: int) -> bool:
        element = self.element
        kind = element.kind
        for each in value:
            if type(each) is not kind and not element.fits(each, depth):
                return False
        return True


class Positions(Exact):
    """A tuple of a fixed length."""

    def __init__(self, positions: list[Value]) -> None:
        self.positions = positions

    def fits(self, value: Any, depth: int) -> bool:
        if len(value) != len(self.positions):
            return False
        for position, each in zip(self.positions, value):
            if not position.fits(each, depth):
                return False
        return True


class Entries(Exact):
    """Keys and values of a dict."""

    def __init__(self, key: Value, value: Value) -> None:
        self.key = key
        self.value = value

    def fits(self, value: Any, depth: int) -> bool:
        entries: dict[Any, Any] = value
        for name, each in entries.items():
            if not self.key.fits(name, depth) or not self.value.fits(each, depth):
                return False
        return True


class Moment(Exact):
    """A datetime without a zone, or in UTC. The others come back in UTC, and none comes back with a `fold`."""

    def fits(self, value: Any, depth: int) -> bool:
        zone = value.tzinfo
        return (zone is None or zone is UTC) and not value.fold


class Uuid(Exact):
    """A UUID that does not say how it was made: that is lost."""

    def fits(self, value: Any, depth: int) -> bool:
        return value.is_safe is _UNTOLD


class ExactRows:
    """Asked of whole batches of rows of some Struct classes."""

    def __init__(self, structs: frozenset[type]) -> None:
        known: dict[Any, Fields] = {}
        self._fields: dict[Any, Fields] = {struct: _fields(struct, known) for struct in structs}
        self._only: Fields | None = next(iter(self._fields.values())) if len(structs) == 1 else None
        self._spelled_out: Callable[[list[Any]], bool] | None = None
        if self._only is not None and not is_compiled():
            self._spelled_out = _spelled_out(self._only)

    def all_fit(self, rows: list[Any]) -> bool:
        """True when each row, whose class is among those known, is exactly what its fields' annotations say."""
        try:
            if self._only is not None:
                return self.tuples_fit(list(map(astuple, rows)))
            for row in rows:
                if not self._fields[type(row)].fits(row, 0):
                    return False
            return True
        except (AttributeError, RecursionError):  # a field without a value; far too deep
            return False

    def tuples_fit(self, tuples: list[Any]) -> bool:
        """The same for the fields' values of rows of the only class that there is."""
        assert self._only is not None
        try:
            return self._only.all_fit(tuples, 0) if self._spelled_out is None else self._spelled_out(tuples)
        except (AttributeError, RecursionError):  # as above
            return False


def _spelled_out(fields: Fields) -> Callable[[list[Any]], bool]:
    """The same as `Fields.all_fit`, with every field named: in a loop that is not compiled, a third of the time."""
    given: dict[str, Any] = {"type": type}
    wrong = []
    for number, value in enumerate(fields.values):
        given[f"kind{number}"], given[f"fits{number}"] = fields.kinds[number], value.fits
        wrong.append(f"type(v{number}) is not kind{number} and not fits{number}(v{number}, 0)")
    names = "".join(f"v{number}, " for number in range(len(wrong)))
    test = " or ".join(wrong) or "False"
    loop = f"for ({names}) in rows:\n        if {test}:\n            return False\n    return True"
    exec(f"def all_fit(rows, {', '.join(f'{name}={name}' for name in given)}):\n    {loop}", given)
    made: Callable[[list[Any]], bool] = given["all_fit"]
    return made


def all_plain(rows: list[Any]) -> bool:
    """True when rows are scalars, lists, and dicts with text keys, all through, and none of a subclass."""
    try:
        for row in rows:
            if not _is_plain(row, 0):
                return False
    except RecursionError:
        return False
    return True


def _is_plain(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is bool or value is None or kind is bytes:
        return True
    if depth >= _MOST_DEPTH:
        return False
    if kind is list:
        elements: list[Any] = value
        for each in elements:
            if not _is_plain(each, depth + 1):
                return False
        return True
    if kind is dict:
        entries: dict[Any, Any] = value
        for name, each in entries.items():
            if type(name) is not str:
                return False
            kind = type(each)  # what most values are is looked at here: a call for each would take as long as the rest
            if not (kind is str or kind is int or kind is float or _is_plain(each, depth + 1)):
                return False
        return True
    return False


def _fields(struct: Any, known: dict[Any, Fields]) -> Fields:
    found = known.get(struct)
    if found is None:
        found = known[struct] = Fields()  # before its fields are looked at: one of them may be of this class again
        for field in msgspec.structs.fields(struct):
            found.add(Value(_options(field.type, known)))
    return found


def _options(annotation: Any, known: dict[Any, Fields]) -> dict[Any, Exact | None]:
    """What an annotation lets a value be: class, and what else is asked of it."""
    if annotation is None:
        return {type(None): None}
    if is_union(annotation):
        options: dict[Any, Exact | None] = {}
        for member in typing.get_args(annotation):
            options.update(_options(member, known))
        return options
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return {annotation: _of_class(annotation, known)}
    if origin is dict:
        return {dict: Entries(Value(_options(args[0], known)), Value(_options(args[1], known)))}
    if origin is tuple and args[-1:] != (Ellipsis,):
        return {tuple: Positions([Value(_options(arg, known)) for arg in args])}
    return {origin: Elements(Value(_options(args[0], known)))}


def _of_class(annotation: Any, known: dict[Any, Fields]) -> Exact | None:
    if issubclass(annotation, msgspec.Struct):
        return _fields(annotation, known)
    if annotation is datetime:
        return Moment()
    return Uuid() if annotation is UUID else None
