"""The aggregations over columns: which columns a partial result has, and how it comes of rows and of other partials.

The columns of a partial are the places of an accumulator of rows (`windows/aggregations`), so one can become the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from penstock.columns import arrow, compute
from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.aggregations.chosen import ArgMax, ArgMin, First, Last
from penstock.windows.aggregations.moments import Mean, Stddev, Variance
from penstock.windows.aggregations.totals import Count, Max, Min, Sum
from penstock.windows.columnar.grouping import Grouping, count_up, is_sorted, ranks
from penstock.windows.columnar.readable import NotInColumns, largest, sums_fit
from penstock.windows.columnar.row_columns import RowColumns

Places = list[Any]
"""Columns, one for each place."""
_EXACT_FLOAT: Final = 1 << 53
Read = Callable[[Any], Places]
"""Makes the places of the table that `Grouping.run` gives."""


class Part:
    """One aggregation."""

    def __init__(self, aggregation: Any, may_be_none: Sequence[bool]) -> None:
        """`may_be_none`: of each of its values."""
        self.aggregation = aggregation
        self.width: int = aggregation.width
        self.may_be_none = may_be_none

    def of_rows(self, rows: RowColumns, grouping: Grouping) -> Read:
        """The partial result of rows. Raises `NotInColumns`."""
        raise NotImplementedError

    def of_parts(self, places: Places, parts: int, grouping: Grouping) -> Read:
        """One partial result of `parts` of them, of which each has a key once at most. Raises `NotInColumns`."""
        raise NotImplementedError

    def results(self, places: Places) -> Any:
        """What a window gives."""
        return places[0]

    def _value(self, rows: RowColumns, at: int = 0) -> Any:
        """The values that decide, null where the row is passed over."""
        values = rows.values(self.aggregation.values()[at])
        if values.null_count and not self.may_be_none[at]:
            raise NotInColumns  # the row is an error
        return rows.taken(values, self.aggregation.where)


class CountPart(Part):
    def of_rows(self, rows: RowColumns, grouping: Grouping) -> Read:
        if self.aggregation.of is None and self.aggregation.where is None:
            name = grouping.ask_rows()
        else:
            there = rows.there(self.aggregation.of)
            name = grouping.ask(rows.taken(there, self.aggregation.where), "count")
        return lambda found: [found[name]]

    def of_parts(self, places: Places, parts: int, grouping: Grouping) -> Read:
        name = grouping.ask(places[0], "sum")
        return lambda found: [found[name]]


class SumPart(Part):
    def of_rows(self, rows: RowColumns, grouping: Grouping) -> Read:
        name = grouping.ask(rows.numbers(self._value(rows)), "sum")
        return lambda found: [found[name]]

    def of_parts(self, places: Places, parts: int, grouping: Grouping) -> Read:
        _check_sums(places[0], parts)
        name = grouping.ask(places[0], "sum")
        return lambda found: [found[name]]


class ExtremePart(Part):
    def of_rows(self, rows: RowColumns, grouping: Grouping) -> Read:
        return self._ask(self._value(rows), grouping)

    def of_parts(self, places: Places, parts: int, grouping: Grouping) -> Read:
        return self._ask(places[0], grouping)

    def _ask(self, column: Any, grouping: Grouping) -> Read:
        name = grouping.ask(column, self.aggregation.verb)  # NaN counts only where there is nothing else
        return lambda found: [found[name]]


class MeanPart(Part):
    def of_rows(self, rows: RowColumns, grouping: Grouping) -> Read:
        values = rows.numbers(self._value(rows))
        count, total = grouping.ask(values, "count"), grouping.ask(values, "sum")
        return lambda found: [_null_for_none(found[count]), found[total]]

    def of_parts(self, places: Places, parts: int, grouping: Grouping) -> Read:
        _check_sums(places[1], parts)
        count, total = grouping.ask(places[0], "sum"), grouping.ask(places[1], "sum")
        return lambda found: [found[count], found[total]]

    def results(self, places: Places) -> Any:
        pa, pc = arrow(), compute()
        if pa.types.is_integer(places[1].type) and not _fits_float(places[1]):
            raise NotInColumns
        return pc.divide(places[1].cast(pa.float64()), places[0].cast(pa.float64()))


class VariancePart(Part):
    def of_rows(self, rows: RowColumns, grouping: Grouping) -> Read:
        pc = compute()
        values = rows.numbers(self._value(rows)).cast(arrow().float64())
        asked = [grouping.ask(values, function) for function in ("count", "mean", "variance")]

        def read(found: Any) -> Places:
            count, mean, variance = (found[name] for name in asked)
            count = _null_for_none(count)
            return [count, mean, pc.multiply(variance, count)]

        return read

    def of_parts(self, places: Places, parts: int, grouping: Grouping) -> Read:
        """Each part's squares, and those of what its mean differs from that of all (Chan)."""
        pc = compute()
        count, mean, squares = places
        group = grouping.numbers_of_groups()
        means = Grouping({"group": group})
        asked = means.ask(pc.multiply(mean, count), "sum"), means.ask(count, "sum")
        found = means.run()
        all_means = pc.divide(found[asked[0]], found[asked[1]])
        apart = pc.subtract(mean, all_means.take(pc.index_in(group, found["group"])))
        more = pc.add(squares, pc.multiply(count, pc.multiply(apart, apart)))
        names = [grouping.ask(count, "sum"), grouping.ask(pc.multiply(mean, count), "sum"), grouping.ask(more, "sum")]

        def read(found: Any) -> Places:
            total, sums, all_squares = (found[name] for name in names)
            return [total, pc.divide(sums, total), all_squares]

        return read

    def results(self, places: Places) -> Any:
        pa, pc = arrow(), compute()
        less = self.aggregation.less
        count = pc.if_else(pc.greater(places[0], less), places[0], pa.scalar(None, pa.int64()))
        found = pc.divide(places[2], pc.subtract(count, less).cast(pa.float64()))
        return pc.sqrt(found) if isinstance(self.aggregation, Stddev) else found


class ChosenPart(Part):
    """`first`, `last`, `arg_min`, `arg_max`: the places are what chooses, and the value of the row."""

    def of_rows(self, rows: RowColumns, grouping: Grouping) -> Read:
        value, *_ = self.aggregation.values()
        if isinstance(self.aggregation, First):
            by = rows.taken(rows.times, self.aggregation.where)
        else:
            by = self._value(rows, 1)
        return self._choose(by, rows.values(value), grouping)

    def of_parts(self, places: Places, parts: int, grouping: Grouping) -> Read:
        return self._choose(places[0], places[1], grouping)

    def _choose(self, by: Any, values: Any, grouping: Grouping) -> Read:
        """The row with the least rank of those whose `by` is there."""
        pa, pc = arrow(), compute()
        by = by.combine_chunks() if isinstance(by, pa.ChunkedArray) else by
        latest = isinstance(self.aggregation, Last)
        if isinstance(self.aggregation, First) and not by.null_count and is_sorted(by):
            rank = order = count_up(len(by))
        else:
            rank, order = ranks(by, descending=type(self.aggregation) is ArgMax)
        if by.null_count:
            rank = pc.if_else(pc.is_valid(by), rank, pa.scalar(None, pa.int64()))
        name = grouping.ask(rank, "max" if latest else "min")

        def read(found: Any) -> Places:
            place = order.take(found[name])
            return [by.take(place), values.take(place)]

        return read

    def results(self, places: Places) -> Any:
        return places[1]


_PARTS: dict[type[Aggregation], type[Part]] = {
    Count: CountPart, Sum: SumPart, Min: ExtremePart, Max: ExtremePart, Mean: MeanPart, Variance: VariancePart,
    Stddev: VariancePart, First: ChosenPart, Last: ChosenPart, ArgMin: ChosenPart, ArgMax: ChosenPart,
}


def part_of(aggregation: Aggregation, may_be_none: Sequence[bool]) -> Part:
    """What computes an aggregation; only where `why_rows` gives nothing."""
    return _PARTS[type(aggregation)](aggregation, may_be_none)


def why_rows(aggregation: Aggregation) -> str:
    """Why an aggregation needs rows; empty: columns are enough."""
    if type(aggregation) not in _PARTS:
        return f"{aggregation.name} needs rows"
    if any(callable(value) for value in aggregation.read()):
        return f"{aggregation.name} calls a function of the row"
    if isinstance(aggregation, First | ArgMin) and aggregation.of is None:
        return f"{aggregation.name} gives rows"
    return ""


def _check_sums(column: Any, parts: int) -> None:
    if arrow().types.is_integer(column.type) and not sums_fit(column, parts):
        raise NotInColumns


def _null_for_none(count: Any) -> Any:
    """Null in the place of 0, as accumulators of rows have None where they have no values."""
    pa, pc = arrow(), compute()
    return pc.if_else(pc.greater(count, 0), count, pa.scalar(None, pa.int64()))


def _fits_float(column: Any) -> bool:
    return largest(column) <= _EXACT_FLOAT
