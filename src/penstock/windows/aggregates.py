"""The aggregations as users write them: `ps.count()`, `ps.sum("ms")`. A string names a field; a function is given rows.

Rows in which the field is None are passed over, unless it says otherwise below; if there is no other row, the result is
None (0 for counts). With `where`, a field or a function of the row, only the rows are taken for which it is true.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.aggregations.chosen import ArgMax, ArgMin, First, Last
from penstock.windows.aggregations.distinct import ApproximateDistinct, CountDistinct
from penstock.windows.aggregations.kept import Collect, TopK
from penstock.windows.aggregations.moments import Mean, Stddev, Variance
from penstock.windows.aggregations.own import Own
from penstock.windows.aggregations.quantiles import Quantile
from penstock.windows.aggregations.totals import Count, Max, Min, Sum

Of = str | Callable[[Any], Any]


def count(of: Of | None = None, *, where: Of | None = None) -> Aggregation:
    """How many rows there are; with `of`, in how many it is not None."""
    return Count(of, where=where)


def sum(of: Of, *, where: Of | None = None) -> Aggregation:
    """The sum."""
    return Sum(of, where=where)


def min(of: Of, *, where: Of | None = None) -> Aggregation:
    """The smallest value, as Python compares. NaN is given only where there is nothing else."""
    return Min(of, where=where)


def max(of: Of, *, where: Of | None = None) -> Aggregation:
    """The largest value, as Python compares. NaN is given only where there is nothing else."""
    return Max(of, where=where)


def mean(of: Of, *, where: Of | None = None) -> Aggregation:
    """The arithmetic mean."""
    return Mean(of, where=where)


def variance(of: Of, *, ddof: int = 1, where: Of | None = None) -> Aggregation:
    """The variance of a sample (None if there is one row), or with `ddof=0` of all there is."""
    return Variance(of, ddof, where=where)


def stddev(of: Of, *, ddof: int = 1, where: Of | None = None) -> Aggregation:
    """The standard deviation: the square root of `variance`."""
    return Stddev(of, ddof, where=where)


def first(of: Of | None = None, *, where: Of | None = None) -> Aggregation:
    """The value of the earliest row by its time, be it None; without `of`, that row. Of equal times, the first to come.

    In a `count_window` without event time, the first row to come.
    """
    return First(of, where=where)


def last(of: Of | None = None, *, where: Of | None = None) -> Aggregation:
    """The value of the latest row by its time, be it None; without `of`, that row. Of equal times, the last to come."""
    return Last(of, where=where)


def arg_min(of: Of | None = None, *, by: Of, where: Of | None = None) -> Aggregation:
    """The value of `of` where `by` is smallest; without `of`, that row. Of equal ones, the first to come."""
    return ArgMin(of, by, where=where)


def arg_max(of: Of | None = None, *, by: Of, where: Of | None = None) -> Aggregation:
    """The value of `of` where `by` is largest; without `of`, that row. Of equal ones, the first to come."""
    return ArgMax(of, by, where=where)


def count_distinct(of: Of, *, approximate: bool = False, where: Of | None = None) -> Aggregation:
    """How many different values there are.

    Exactly: all of them are kept, and written again with every commit that changes the window. `approximate`: in 4 KiB
    at most, with a standard error of 1.6 % (HyperLogLog); up to 256 values exactly.
    """
    return ApproximateDistinct(of, where=where) if approximate else CountDistinct(of, where=where)


def quantile(of: Of, q: float, *, where: Of | None = None) -> Aggregation:
    """The value of rank ceil(q * n): 0.5 gives the median. It is off by 1/128 of the exact one at most."""
    return Quantile(of, q, where=where)


def top_k(k: int, *, by: Of, of: Of | None = None, where: Of | None = None) -> Aggregation:
    """The values of `of` (without it, the rows) of the `k` rows in which `by` is largest, as a list, largest first."""
    return TopK(of, k, by, where=where)


def collect(of: Of | None = None, *, limit: int = 10_000, where: Of | None = None) -> Aggregation:
    """All values (without `of`, all rows) as a list, in the order in which they came, None included.

    A row beyond `limit` is an error of that row. The list is written again with every commit that changes the window.
    """
    return Collect(of, limit, where=where)


def as_aggregations(columns: Mapping[str, Any]) -> dict[str, Aggregation]:
    """What users pass to `aggregate`. Raises `TypeError` for what is no aggregation."""
    if not columns:
        raise TypeError("aggregate() takes at least one column, such as n=ps.count()")
    return {name: _as_aggregation(name, column) for name, column in columns.items()}


def _as_aggregation(name: str, column: Any) -> Aggregation:
    if isinstance(column, Aggregation):
        return column
    if isinstance(column, type):
        return Own(None, column)
    uncalled = f"; write {name}=ps.{column.__name__}(...)" if inspect.isfunction(column) else ""
    raise TypeError(f"aggregate() takes aggregations such as {name}=ps.count(), not {column!r}{uncalled}")
