"""Columns as aggregations read them: of few types, whose values are the same in Arrow and as Python objects.

Whatever is not of these types, or would fail as a row, is `NotInColumns`: its batch is taken row by row, which says
which row is at fault.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgspec

from penstock.columns import arrow, compute
from penstock.event_time import FIRST_MOMENT, LAST_MOMENT
from penstock.signatures.row_classes import fields_of, plain_class, required_fields

_EXACT_SUM: Final = 1 << 62
_MOST_TEXT_BYTES: Final = 1 << 31
_US_OF: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}


class NotInColumns(Exception):
    """These columns cannot be taken as they are: their rows are taken one by one."""


def plain(column: Any) -> Any:
    """A column as an array of one of the types that are computed with. Raises `NotInColumns`."""
    pa = arrow()
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # so many bytes that they do not go in one
        raise NotInColumns
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    wanted = _plain_type(array.type)
    if array.type.equals(wanted):
        return array
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:  # a number that is too large
        raise NotInColumns from None


def _plain_type(kind: Any) -> Any:
    pa = arrow()
    types = pa.types
    if types.is_integer(kind):
        return pa.int64()
    if types.is_floating(kind):
        return pa.float64()
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()  # Arrow groups by the other kind with other code, at a fourth of the pace
    if types.is_boolean(kind) or types.is_date32(kind):
        return kind
    if types.is_timestamp(kind) and kind.unit != "ns":  # Python's have microseconds
        return pa.timestamp("us", kind.tz)
    raise NotInColumns


def has_room(column: Any) -> bool:
    """False: it is text that one column of results has no room for."""
    return not arrow().types.is_string(column.type) or column.nbytes < _MOST_TEXT_BYTES


def key_column(column: Any) -> Any:
    """A column of keys: of types in which equal keys are equal values."""
    keys = plain(column)
    if arrow().types.is_floating(keys.type):  # NaN equals nothing, and -0.0 is another one for Arrow
        raise NotInColumns
    return keys


def numbers(array: Any) -> Any:
    """A column to be added up: int64, in which the sum of all has room, or float64."""
    pa, pc = arrow(), compute()
    if pa.types.is_boolean(array.type):
        return array.cast(pa.int64())
    if pa.types.is_floating(array.type):
        return array
    if not pa.types.is_integer(array.type):
        raise NotInColumns
    if not sums_fit(array, len(array)):  # Python's numbers have no end
        raise NotInColumns
    return array if array.type.equals(pa.int64()) else pc.cast(array, pa.int64())


def largest(column: Any) -> int:
    """The largest absolute value of whole numbers."""
    ends = compute().min_max(column)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    return 0 if low is None else max(abs(low), abs(high))


def sums_fit(column: Any, addends: int) -> bool:
    """True: adding up so many of these whole numbers stays exact."""
    return largest(column) * addends < _EXACT_SUM


def moments_of(column: Any, unit: str) -> Any:
    """The moments of rows, in microseconds, as `event_time.moments` makes them. Raises `NotInColumns`."""
    pa, pc = arrow(), compute()
    times = plain(column)
    if times.null_count or not len(times):
        raise NotInColumns
    if pa.types.is_timestamp(times.type) and times.type.tz is not None:
        found = times.cast(pa.int64())
        factor = 1
    elif pa.types.is_integer(times.type) and unit in _US_OF:
        found, factor = times, _US_OF[unit]
    elif pa.types.is_floating(times.type):
        return _moments_of_floats(times, unit)
    else:
        raise NotInColumns
    ends = pc.min_max(found)
    if ends["min"].as_py() * factor < FIRST_MOMENT or ends["max"].as_py() * factor > LAST_MOMENT:
        raise NotInColumns
    return found if factor == 1 else pc.multiply(found, factor)


def _moments_of_floats(times: Any, unit: str) -> Any:
    pc = compute()
    factor = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e6 / 1e9}[unit]
    found = pc.round(pc.multiply(times, factor), round_mode="half_to_even")
    ends = pc.min_max(found)
    in_range = ends["min"].as_py() >= FIRST_MOMENT and ends["max"].as_py() <= LAST_MOMENT  # NaN are left out of it
    if not in_range or pc.any(pc.is_nan(found)).as_py():
        raise NotInColumns
    return pc.cast(found, arrow().int64())


def makes_rows(row_type: Any, names: list[str]) -> bool:
    """True: rows of these columns can be made without fail, whatever their values: nothing of the user's runs."""
    kind = plain_class(row_type)
    if row_type is Any or kind is dict or kind is None:
        return True
    fields = fields_of(row_type)
    if fields is None or hasattr(kind, "__post_init__"):
        return False
    if not (issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind)):
        return False
    return set(required_fields(row_type)) <= set(names) <= set(fields)
