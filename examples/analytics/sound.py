"""Checks that an event is what its type says, before it travels in one piece with its neighbours.

A stretch goes from stage to stage whole. One field of the wrong type, a number that a column cannot hold or an
infinite price would be found there, too late: the whole stretch would be set aside. So `harvest` asks here first, line
by line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter, itemgetter
from types import NoneType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from analytics.events import AnyEvent, Click, LogRecord, Rate, Reading, Tick

_GREATEST = 2**63 - 1
"""Of the integers that the database's columns hold."""


def _allowed(hint: Any) -> tuple[type, ...]:
    kinds: tuple[type, ...] = get_args(hint) if get_origin(hint) is Union or "|" in str(hint) else (hint,)
    return (*kinds, int) if float in kinds else kinds


class _Kind:
    """What is known of one class of event."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        hints = get_type_hints(kind)
        self.names = kind.__struct_fields__
        self.values: Callable[[Any], tuple[Any, ...]] = attrgetter(*self.names)
        self.allowed = tuple(_allowed(hints[name]) for name in self.names)
        self.seen: dict[tuple[type, ...], Callable[[Any], tuple[Any, ...]]] = {}
        """Types that were found right together, and what takes the numbers (two at least) out of such values."""

    def numbers(self, types: tuple[type, ...]) -> Callable[[Any], tuple[Any, ...]]:
        """What takes the numbers out. `ValueError`: a field has a type that it must not have."""
        for name, allowed, found in zip(self.names, self.allowed, types, strict=True):
            if found not in allowed:
                raise ValueError(f"{name} is {_told(found)}, not {' or '.join(map(_told, allowed))}")
        numbers = self.seen[types] = itemgetter(*(at for at, found in enumerate(types) if found in (int, float)))
        return numbers


def _told(kind: type) -> str:
    return "nothing" if kind is NoneType else kind.__name__


_KINDS = {kind: _Kind(kind) for kind in (Click, Reading, Tick, LogRecord, Rate)}


def check(event: AnyEvent) -> None:
    """Raises `ValueError` with the first field that is not as it must be."""
    kind = _KINDS[type(event)]
    values = kind.values(event)
    types = tuple(map(type, values))
    numbers = kind.seen.get(types) or kind.numbers(types)
    if not sum(map(abs, numbers(values))) <= _GREATEST:  # then each is; NaN is no less than anything
        for name, value in zip(kind.names, values, strict=True):
            _check_number(name, value)


def _check_number(name: str, value: object) -> None:
    if isinstance(value, int) and abs(value) > _GREATEST:
        raise ValueError(f"{name}={value} has more than 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}={value} is no number")
