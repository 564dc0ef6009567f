"""`quantile`: the value below or at which a share of the rows lies, by a histogram that can be merged.

It is log-linear, as that of durations in `metrics/latency.py`: 64 buckets per power of two, for numbers of either sign.
A bucket is 1/64 of its lower bound wide at most, and the middle of the bucket is given, so a result differs from the
exact one by 1/128 of it at most. The exact one is that of rank ceil(q * n) in the order of size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, frexp, inf, ldexp
from typing import Any, ClassVar, Final

from penstock.windows.aggregations.aggregation import Aggregation, Names
from penstock.windows.aggregations.totals import not_of_kinds

RELATIVE_ERROR: Final = 1 / 128
_PER_OCTAVE: Final = 64
_LOWEST: Final = -1073
"""The exponent that `frexp` gives for the smallest float; ordinary ones have a larger one."""


class Quantile(Aggregation, frozen=True):
    """Place: bucket -> how many."""

    q: float = 0.5

    verb: ClassVar[str] = "quantile"
    in_place: ClassVar[bool] = True

    @property
    def call(self) -> str:
        return f"{super().call[:-1]}, {self.q})"

    @property
    def names(self) -> Mapping[str, Any]:
        return {"bucket_of": bucket_of, "buckets_joined": joined, "quantile_of": quantile_of, "put_count": put_count}

    def prepared(self, x: Names) -> str:
        return f"bucket_of({x[0]})"

    def first(self, x: Names) -> Sequence[str]:
        return (f"{{{x[0]}: 1}}",)

    def add(self, a: Names, x: Names) -> Sequence[str]:
        return (f"{a[0]}[{x[0]}] = {a[0]}.get({x[0]}, 0) + 1",)

    def undo(self, a: Names, x: Names) -> Sequence[str]:
        return (f"note(put_count, {a[0]}, {x[0]}, {a[0]}.get({x[0]}))",)

    def copied(self, a: Names) -> Sequence[str]:
        return (f"{a[0]}.copy()",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"buckets_joined({a[0]}, {b[0]})",)

    def result(self, a: Names) -> str:
        return f"quantile_of({a[0]}, {self.q!r})"

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (dict[int, int],)

    def result_type(self, types: Sequence[Any]) -> Any:
        return float

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        yield from not_of_kinds(self, types[0], (int, float, Decimal, Fraction), "name a field of numbers")
        if isinstance(self.q, bool) or not isinstance(self.q, int | float) or not 0 <= self.q <= 1:
            yield f"{self.name}: {self.q!r} is no share", "write a number from 0 to 1, like 0.99"


def bucket_of(value: Any) -> int:
    """The bucket of a number: 0 for 0, larger for larger numbers. Raises `ValueError` for what has no place among them.

    `TypeError` for what is no number.
    """
    number = float(value)
    if not -inf < number < inf:
        raise ValueError(f"{number} cannot be ranked; filter such rows out before the window")
    mantissa, exponent = frexp(abs(number))
    if not mantissa:
        return 0
    bucket = (exponent - _LOWEST) * _PER_OCTAVE + int((mantissa - 0.5) * 2 * _PER_OCTAVE) + 1
    return bucket if number > 0 else -bucket


def middle_of(bucket: int) -> float:
    """The middle of a bucket."""
    if bucket == 0:
        return 0.0
    octave, step = divmod(abs(bucket) - 1, _PER_OCTAVE)
    middle = ldexp(0.5 + (step + 0.5) / (2 * _PER_OCTAVE), octave + _LOWEST)
    return middle if bucket > 0 else -middle


def quantile_of(counts: Mapping[int, int], q: float) -> float:
    """The value of rank ceil(q * n), within the error."""
    total = sum(counts.values())
    rank, seen = min(max(ceil(q * total), 1), total), 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            return middle_of(bucket)
    raise ValueError("no rows were counted")


def joined(counts: dict[int, int], others: Mapping[int, int]) -> dict[int, int]:
    """The first histogram with the counts of the second."""
    for bucket, count in others.items():
        counts[bucket] = counts.get(bucket, 0) + count
    return counts


def put_count(counts: dict[int, int], bucket: int, count: int | None) -> None:
    """Undo: a bucket counts what it did; None: it was not there."""
    if count is None:
        counts.pop(bucket, None)
    else:
        counts[bucket] = count
