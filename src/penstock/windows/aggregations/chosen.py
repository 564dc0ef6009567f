"""`first`, `last`, `arg_min`, `arg_max`: the value of one row, which another value chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from penstock.windows.aggregations.aggregation import Aggregation, Names
from penstock.windows.aggregations.totals import Nan, better, nan_of
from penstock.windows.row_reading import Value


class _Chosen(Aggregation, frozen=True):
    """Places: what chose the row, and the row's value. Of equal ones, the first to arrive."""

    width: ClassVar[int] = 2

    def _better(self, one: str, other: str) -> str:
        """A condition: `one` takes the place of `other`, which was there before."""
        raise NotImplementedError

    def first(self, x: Names) -> Sequence[str]:
        return (x[1], x[0])

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        taken = self._better(x[1], a[0])
        return (f"{x[1]} if {taken} else {a[0]}", f"{x[0]} if {taken} else {a[1]}")

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        taken = self._better(b[0], a[0])
        return (f"{b[0]} if {taken} else {a[0]}", f"{b[1]} if {taken} else {a[1]}")

    def result(self, a: Names) -> str:
        return a[1]

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (types[1], types[0])


class ArgMin(_Chosen, frozen=True):
    """The value of the row in which `by` is smallest. NaN counts only where there is nothing else."""

    by: Value = None
    nan: Nan = Nan.RAISES
    """Of the values of `by`."""

    verb: ClassVar[str] = "arg_min"
    guard: ClassVar[int] = 1

    def over(self, types: Sequence[Any]) -> Self:
        return replace(self, nan=nan_of(types[1]))

    def values(self) -> Sequence[Value]:
        return (self.of, self.by)

    def _better(self, one: str, other: str) -> str:
        return better(f"{one} < {other}", one, other, self.nan)


class ArgMax(ArgMin, frozen=True):
    """The value of the row in which `by` is largest. NaN counts only where there is nothing else."""

    verb: ClassVar[str] = "arg_max"

    def _better(self, one: str, other: str) -> str:
        return better(f"{other} < {one}", one, other, self.nan)


class First(_Chosen, frozen=True):
    """The value of the row whose time is the earliest, be it None."""

    verb: ClassVar[str] = "first"
    guard: ClassVar[int] = -1

    def first(self, x: Names) -> Sequence[str]:
        return ("t", x[0])

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return super().new(a, (x[0], "t"), new)

    def _better(self, one: str, other: str) -> str:
        return f"{one} < {other}"

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (int, types[0])


class Last(First, frozen=True):
    """The value of the row whose time is the latest, be it None. Of equal times, the last to arrive."""

    verb: ClassVar[str] = "last"

    def _better(self, one: str, other: str) -> str:
        return f"{one} >= {other}"
