"""`count`, `sum`, `min`, `max`: one value that each row changes."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from penstock.signatures.annotations import shown
from penstock.signatures.row_classes import plain_class
from penstock.windows.aggregations.aggregation import Aggregation, Names
from penstock.windows.row_reading import Value

_SUMMED = (int, float, complex, Decimal, Fraction, timedelta)


class Count(Aggregation, frozen=True):
    """How many rows there are, or how many of them have the field."""

    verb: ClassVar[str] = "count"
    never_raises: ClassVar[bool] = True
    result_without_rows: ClassVar[str] = "0"

    @property
    def call(self) -> str:
        return "count()" if self.of is None else super().call

    def values(self) -> Sequence[Value]:
        return () if self.of is None else (self.of,)

    def first(self, x: Names) -> Sequence[str]:
        return ("1",)

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (f"{a[0]} + 1",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"{a[0]} + {b[0]}",)

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (int,)

    def result_type(self, types: Sequence[Any]) -> Any:
        return int


class Sum(Aggregation, frozen=True):
    """The sum of a field."""

    verb: ClassVar[str] = "sum"

    def first(self, x: Names) -> Sequence[str]:
        return (f"{x[0]} if {x[0]}.__class__ is not bool else int({x[0]})",)

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (f"{a[0]} + {x[0]}",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"{a[0]} + {b[0]}",)

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (self.result_type(types),)

    def result_type(self, types: Sequence[Any]) -> Any:
        return int if types[0] is bool else types[0]

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        yield from not_of_kinds(self, types[0], _SUMMED, "name a field of numbers")


class Nan(enum.Enum):
    """What values of a type do that are not a number."""

    NEVER = "never"
    """None of them is NaN: they are larger, smaller, or equal."""
    FALSE = "false"
    """A comparison with NaN is false, as floats have it."""
    RAISES = "raises"
    """It may raise, as that of a Decimal does; only `==` and `!=` do not."""


_ORDERED = (bool, int, str, bytes, date, timedelta)


def nan_of(annotation: Any) -> Nan:
    """Of values that are annotated so."""
    kind = plain_class(annotation)
    if kind is not None and issubclass(kind, _ORDERED):
        return Nan.NEVER
    return Nan.FALSE if kind is float else Nan.RAISES


def better(condition: str, one: str, other: str, nan: Nan) -> str:
    """A condition: `one` takes the place of `other`. NaN takes none, and gives up its own to whatever is a number.

    `condition`: the same where neither is NaN.
    """
    match nan:
        case Nan.NEVER:
            return condition
        case Nan.FALSE:
            return f"{condition} or {other} != {other} and {one} == {one}"
        case Nan.RAISES:
            return f"{one} == {one} and ({other} != {other} or {condition})"


class Min(Aggregation, frozen=True):
    """The smallest value of a field, as Python compares. NaN counts only where there is nothing else."""

    nan: Nan = Nan.RAISES

    verb: ClassVar[str] = "min"

    def over(self, types: Sequence[Any]) -> Self:
        return replace(self, nan=nan_of(types[0]))

    def _better(self, one: str, other: str) -> str:
        """A condition: `one` takes the place of `other`."""
        return better(f"{one} < {other}", one, other, self.nan)

    def first(self, x: Names) -> Sequence[str]:
        return x

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (f"{x[0]} if {self._better(x[0], a[0])} else {a[0]}",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"{b[0]} if {self._better(b[0], a[0])} else {a[0]}",)

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return types


class Max(Min, frozen=True):
    """The largest value of a field, as Python compares. NaN counts only where there is nothing else."""

    verb: ClassVar[str] = "max"

    def _better(self, one: str, other: str) -> str:
        return better(f"{other} < {one}", one, other, self.nan)


def not_of_kinds(
    aggregation: Aggregation, annotation: Any, kinds: tuple[type, ...], remedy: str
) -> Iterator[tuple[str, str]]:
    """The mistake that values of a type are of none of the kinds; nothing where the type does not say."""
    kind = plain_class(annotation)
    if kind is not None and kind is not object and not issubclass(kind, kinds):
        yield f"{aggregation.name} is computed of numbers, but the values are {shown(annotation)}", remedy
