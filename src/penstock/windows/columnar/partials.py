"""The aggregations of a window over columns: partial results of rows, merged, as accumulators, as results.

A partial is a table: the end of the slice, the key, and the places of the accumulators. A key has one row in a slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.columns import arrow, joined
from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.columnar.grouping import Grouping
from penstock.windows.columnar.parts import part_of
from penstock.windows.columnar.readable import NotInColumns, has_room
from penstock.windows.columnar.row_columns import RowColumns
from penstock.windows.row_reading import reading

END: Final = "end"
KEY: Final = "key"


class Partials:
    """Of the aggregations of one window."""

    def __init__(self, aggregations: Mapping[str, Aggregation], row_type: Any) -> None:
        self._parts = [
            part_of(one, [reading(value, row_type, "").may_be_none for value in one.values()])
            for one in aggregations.values()
        ]
        self._names = [f"p{place}" for place in range(sum(part.width for part in self._parts))]

    def of_rows(self, table: Any, keys: Any, times: Any, ends: Any) -> Any:
        """The partial of rows. `ends`: of their slices; a number where it is one. Raises `NotInColumns`."""
        one_slice = isinstance(ends, int)
        grouping = Grouping({KEY: keys} if one_slice else {END: ends, KEY: keys})
        rows = RowColumns(table, times)
        read = [part.of_rows(rows, grouping) for part in self._parts]
        found = grouping.run()
        return self._table(found, [places for one in read for places in one(found)], ends if one_slice else None)

    def merged(self, partials: Sequence[Any], end: int | None = None) -> Any:
        """One of several, in the order in which their rows came. `end`: what they are parts of, if it is one window.

        Raises `NotInColumns` where the result would not be exact.
        """
        table = joined(partials)
        if not all(map(has_room, table.columns)):
            raise NotInColumns
        if len(partials) == 1 and end is None:
            return table
        keys = {KEY: table[KEY]} if end is not None else {END: table[END], KEY: table[KEY]}
        grouping, start, read = Grouping(keys), 0, []
        # A part has a key once in each slice: of a window, as often as it has slices.
        addends = len(partials) if end is None else table.num_rows
        for part in self._parts:
            places = [table[name] for name in self._names[start : start + part.width]]
            read.append(part.of_parts(places, addends, grouping))
            start += part.width
        found = grouping.run()
        return self._table(found, [places for one in read for places in one(found)], end)

    def _table(self, found: Any, places: Sequence[Any], end: int | None) -> Any:
        pa = arrow()
        ends = found[END] if end is None else pa.repeat(pa.scalar(end, pa.int64()), found.num_rows)
        return pa.table([ends, found[KEY], *places], [END, KEY, *self._names])

    def accumulators(self, table: Any) -> list[list[Any]]:
        """`[end, key, *places]` of each row, as rows have them."""
        return list(map(list, zip(*(column.to_pylist() for column in table.columns), strict=True)))

    def results(self, table: Any) -> list[Any]:
        """A column of results for each aggregation. Raises `NotInColumns` where they would not be those of rows."""
        found, start = [], 0
        for part in self._parts:
            found.append(part.results([table[name] for name in self._names[start : start + part.width]]))
            start += part.width
        return found
