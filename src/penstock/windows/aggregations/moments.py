"""`mean`, `variance`, `stddev`: of numbers, in one pass, without the loss of digits that sums of squares have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import sqrt
from typing import Any, ClassVar

from penstock.signatures.row_classes import plain_class
from penstock.windows.aggregations.aggregation import Aggregation, Names
from penstock.windows.aggregations.totals import not_of_kinds

_NUMBERS = (int, float, Decimal, Fraction)


class Mean(Aggregation, frozen=True):
    """Places: how many, and their sum."""

    verb: ClassVar[str] = "mean"
    width: ClassVar[int] = 2

    def first(self, x: Names) -> Sequence[str]:
        return ("1", x[0])

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (f"{a[0]} + 1", f"{a[1]} + {x[0]}")

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"{a[0]} + {b[0]}", f"{a[1]} + {b[1]}")

    def result(self, a: Names) -> str:
        return f"{a[1]} / {a[0]}"

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (int, int if types[0] is bool else types[0])

    def result_type(self, types: Sequence[Any]) -> Any:
        return float if plain_class(types[0]) in (bool, int, float) else types[0]

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        yield from not_of_kinds(self, types[0], (*_NUMBERS, timedelta), "name a field of numbers")


class Variance(Aggregation, frozen=True):
    """Places: how many, their mean, and the sum of the squares of what they differ from it (Welford, Chan)."""

    less: int = 1
    """What is taken off the number of rows: 1 for a sample, 0 for all there is."""

    verb: ClassVar[str] = "variance"
    width: ClassVar[int] = 3

    @property
    def names(self) -> Mapping[str, Any]:
        return {"spread": spread, "merged_spreads": merged_spreads}

    def prepared(self, x: Names) -> str:
        return f"float({x[0]})"

    def first(self, x: Names) -> Sequence[str]:
        return ("1", x[0], "0.0")

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (
            f"{a[0]} + 1",
            f"{a[1]} + ({x[0]} - {a[1]}) / {new[0]}",
            f"{a[2]} + ({x[0]} - {a[1]}) * ({x[0]} - {new[1]})",
        )

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        both = f"merged_spreads({', '.join((*a, *b))})"
        return (f"{a[0]} + {b[0]}", f"{both}[0]", f"{both}[1]")

    def result(self, a: Names) -> str:
        return f"spread({a[0]}, {a[2]}, {self.less})"

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (int, float, float)

    def result_type(self, types: Sequence[Any]) -> Any:
        return float | None if self.less else float

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        yield from not_of_kinds(self, types[0], _NUMBERS, "name a field of numbers")
        if self.less not in (0, 1):
            yield f"{self.name}: ddof={self.less!r} is neither 0 nor 1", "write 1 for a sample, 0 for all there is"


class Stddev(Variance, frozen=True):
    """The square root of it."""

    verb: ClassVar[str] = "stddev"

    @property
    def names(self) -> Mapping[str, Any]:
        return {**super().names, "root_of": root_of}

    def result(self, a: Names) -> str:
        return f"root_of({super().result(a)})"


def spread(count: int, squares: float, less: int) -> float | None:
    """The variance; None: a sample of one says nothing of it."""
    return squares / (count - less) if count > less else None


def merged_spreads(
    count: int, mean: float, squares: float, other_count: int, other_mean: float, other_squares: float
) -> tuple[float, float]:
    """Mean and sum of squares of two sets of numbers together."""
    total, apart = count + other_count, other_mean - mean
    return mean + apart * other_count / total, squares + other_squares + apart * apart * count * other_count / total


def root_of(variance: float | None) -> float | None:
    return None if variance is None else sqrt(variance)
