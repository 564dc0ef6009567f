"""One pass over rows by their groups: each aggregation asks for what it needs, and reads it when the pass is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.columns import arrow, compute


class Grouping:
    """Groups are in the order in which they first come."""

    def __init__(self, keys: Mapping[str, Any]) -> None:
        """`keys`: columns; rows in which all of them are equal are one group."""
        self._keys = dict(keys)
        self._columns = dict(keys)
        self._asked: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._names: dict[int, str] = {}
        self._found: Any = None

    def ask(self, column: Any, function: str) -> str:
        """Have a function of Arrow's (`sum`, `count`) computed of the values of each group that are not null.

        What it gives is null where there are none of them, but for `count`. Gives the name of the result.
        """
        name = self._names.setdefault(id(column), f"c{len(self._names)}")
        self._columns[name] = column
        options = None if function in ("count", "min", "max", "variance") else _AT_LEAST_ONE
        if (name, function) not in self._asked:
            made = compute().ScalarAggregateOptions(**options) if options else None
            self._asked[name, function] = (name, function) if made is None else (name, function, made)
        return f"{name}_{function}"

    def ask_rows(self) -> str:
        """How many rows a group has."""
        self._asked["", "count_all"] = ([], "count_all")
        return "count_all"

    def run(self) -> Any:
        """The table of groups."""
        table = arrow().table(self._columns)
        self._found = table.group_by(list(self._keys), use_threads=False).aggregate(list(self._asked.values()))
        return self._found

    def numbers_of_groups(self) -> Any:
        """A number for each row, the same for rows of one group."""
        pc = compute()
        number: Any = None
        for column in self._keys.values():
            coded = pc.dictionary_encode(column, null_encoding="encode")
            coded = coded.combine_chunks() if isinstance(coded, arrow().ChunkedArray) else coded
            place = coded.indices.cast(arrow().int64())
            number = place if number is None else pc.add(pc.multiply(number, len(coded.dictionary)), place)
        return number


_AT_LEAST_ONE = {"min_count": 1, "skip_nulls": True}


def ranks(column: Any, *, descending: bool = False) -> tuple[Any, Any]:
    """(place of each value in their order, where the value of each place is). NaN and null are behind all others.

    Of equal ones, the first to come has the first place.
    """
    pa, pc = arrow(), compute()
    order = pc.array_sort_indices(column, order="descending" if descending else "ascending").cast(pa.int64())
    if hasattr(pc, "inverse_permutation"):
        return pc.inverse_permutation(order), order
    return pc.array_sort_indices(order).cast(pa.int64()), order


def count_up(length: int) -> Any:
    """0, 1, 2, ..."""
    pa = arrow()
    longest = _counted[0]
    if longest is None or len(longest) < length:
        longest = _counted[0] = pa.array(range(max(length, 1 << 15)), pa.int64())
    return longest.slice(0, length)


_counted: list[Any] = [None]
"""The longest that was made: making it takes as long as looking at it."""


def is_sorted(column: Any) -> bool:
    """True: each value is at least as large as the one before; there are no nulls."""
    if len(column) < 2:
        return True
    pc = compute()
    return bool(pc.all(pc.less_equal(column[:-1], column[1:])).as_py())
