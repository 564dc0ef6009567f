"""`top_k` and `collect`: values of several rows, no more than a bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import GenericAlias
from typing import Any, ClassVar

from penstock.windows.aggregations.aggregation import Aggregation, Names
from penstock.windows.row_reading import Value


class TopK(Aggregation, frozen=True):
    """The values of the `k` rows in which `by` is largest, the largest first. Of equal ones, the first to arrive.

    NaN is behind all others.

    Place: pairs of `by` and value, in this order. It is replaced as a whole: `k` is small.
    """

    k: int = 10
    by: Value = None

    verb: ClassVar[str] = "top_k"
    guard: ClassVar[int] = 1

    @property
    def call(self) -> str:
        return f"top_k({self.k}, {super().call.partition('(')[2]}"

    @property
    def names(self) -> Mapping[str, Any]:
        return {"top_with": top_with, "tops_joined": tops_joined, "second_of": second_of}

    def values(self) -> Sequence[Value]:
        return (self.of, self.by)

    def first(self, x: Names) -> Sequence[str]:
        return (f"[({x[1]}, {x[0]})]",)

    def new(self, a: Names, x: Names, new: Names) -> Sequence[str]:
        return (f"top_with({a[0]}, {x[1]}, {x[0]}, {self.k})",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"tops_joined({a[0]}, {b[0]}, {self.k})",)

    def result(self, a: Names) -> str:
        return f"second_of({a[0]})"

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (GenericAlias(list, (GenericAlias(tuple, (types[1], types[0])),)),)

    def result_type(self, types: Sequence[Any]) -> Any:
        return GenericAlias(list, (types[0],))

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        yield from _bound_mistakes(self.name, "k", self.k)


class Collect(Aggregation, frozen=True):
    """All values, in the order in which they arrived. Place: their list, which is written again with each commit."""

    limit: int = 10_000

    verb: ClassVar[str] = "collect"
    in_place: ClassVar[bool] = True
    guard: ClassVar[int] = -1
    result_without_rows: ClassVar[str] = "[]"

    @property
    def names(self) -> Mapping[str, Any]:
        return {"collected": collected, "too_many": too_many}

    def first(self, x: Names) -> Sequence[str]:
        return (f"[{x[0]}]",)

    def check(self, a: Names) -> str:
        return f"if len({a[0]}) >= {self.limit}: too_many({self.limit})"

    def add(self, a: Names, x: Names) -> Sequence[str]:
        return (f"{a[0]}.append({x[0]})",)

    def undo(self, a: Names, x: Names) -> Sequence[str]:
        return (f"note({a[0]}.__delitem__, slice(len({a[0]}), None))",)

    def copied(self, a: Names) -> Sequence[str]:
        return (f"{a[0]}.copy()",)

    def merged(self, a: Names, b: Names) -> Sequence[str]:
        return (f"collected({a[0]}, {b[0]}, {self.limit})",)

    def result(self, a: Names) -> str:
        return f"{a[0]}.copy()"

    def state_types(self, types: Sequence[Any]) -> Sequence[Any]:
        return (GenericAlias(list, (types[0],)),)

    def result_type(self, types: Sequence[Any]) -> Any:
        return GenericAlias(list, (types[0],))

    def mistakes(self, types: Sequence[Any]) -> Iterator[tuple[str, str]]:
        yield from _bound_mistakes(self.name, "limit", self.limit)


def top_with(top: Sequence[tuple[Any, Any]], by: Any, value: Any, k: int) -> Sequence[tuple[Any, Any]]:
    """A new list with another value, or the same one where the value is not among the largest."""
    at = len(top)
    while at and _is_behind(top[at - 1][0], by):
        at -= 1
    return top if at == k else [*top[:at], (by, value), *top[at : k - 1]]


def _is_behind(one: Any, other: Any) -> bool:
    if one != one or other != other:  # NaN: of Decimals, a comparison raises
        return bool(one != one and other == other)
    return bool(one < other)


def tops_joined(
    top: Sequence[tuple[Any, Any]], other: Sequence[tuple[Any, Any]], k: int
) -> Sequence[tuple[Any, Any]]:
    """The largest of both."""
    for by, value in other:
        top = top_with(top, by, value, k)
    return top


def second_of(pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    return [value for _, value in pairs]


def collected(values: list[Any], others: list[Any], limit: int) -> list[Any]:
    """The first list with all of the second. Raises `ValueError` where that is too much."""
    if len(values) + len(others) > limit:
        too_many(limit)
    values += others
    return values


def too_many(limit: int) -> None:
    raise ValueError(f"the window has more than {limit} rows to collect; raise `limit`, or collect less")


def _bound_mistakes(name: str, what: str, bound: Any) -> Iterator[tuple[str, str]]:
    if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
        yield f"{name}: {what}={bound!r} is not a number of at least 1", "write one like 10"
