"""Batches as Arrow tables whose rows carry their number: one piece per kind of row and type of value.

Pure but for pyarrow. A column whose values are of several types (1 and "a") cannot be one Arrow array: its rows go
into several pieces, and DuckDB casts each of them to the table's type.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from penstock.batch import Batch
from penstock.columns import as_table
from penstock.connectors.duckdb.imports import pyarrow
from penstock.connectors.row_fields import Values, values_by_name
from penstock.connectors.runs_of_rows import split_by_form

ROW = "_penstock_row"
"""Name of the column with the row's number since the last commit."""
_NATIVE = (bytes, bytearray, datetime.datetime, datetime.date, datetime.time, datetime.timedelta, Decimal, UUID)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a transaction as columns."""

    table: Any
    """A pyarrow.Table with the column `ROW`."""
    kind: type | None
    """The class of its rows; None: they came as columns."""

    @property
    def names(self) -> list[str]:
        return [name for name in self.table.column_names if name != ROW]

    def without(self, rows: Iterable[int]) -> Piece:
        pa = pyarrow()
        import pyarrow.compute as compute

        bad = compute.is_in(self.table.column(ROW), value_set=pa.array(list(rows), pa.int64()))
        return Piece(self.table.filter(compute.invert(bad)), self.kind)

    def rows_where(self, mask: Any) -> list[int]:
        """The numbers of the rows for which a boolean array is true."""
        rows: list[int] = self.table.column(ROW).filter(mask).to_pylist()
        return rows


@dataclass(frozen=True, slots=True)
class Pieces:
    """A whole transaction."""

    pieces: list[Piece]
    unfit: dict[int, str]
    """Rows that no Arrow array can hold, and why."""


def to_pieces(batches: Sequence[Batch[Any]]) -> Pieces:
    """Everything written since the last commit."""
    found = Pieces([], {})
    split_by_form(
        batches, lambda rows, first: _add_rows(rows, first, found), lambda part, first: _add_columns(part, first, found)
    )
    return found


def _add_columns(columns: Any, first: int, found: Pieces) -> int:
    pa = pyarrow()
    columns = as_table(columns)
    count = int(columns.num_rows)
    if count:
        found.pieces.append(Piece(columns.append_column(ROW, pa.array(range(first, first + count), pa.int64())), None))
    return count


def _add_rows(rows: list[Any], first: int, found: Pieces) -> None:
    kinds = dict.fromkeys(map(type, rows))
    for kind in kinds:
        if len(kinds) == 1:
            mine, numbers = rows, list(range(first, first + len(rows)))
        else:
            mine = [row for row in rows if type(row) is kind]
            numbers = [first + index for index, row in enumerate(rows) if type(row) is kind]
        _add_values(kind, values_by_name(kind, mine), numbers, found)


def _add_values(kind: type, values: Values, numbers: list[int], found: Pieces) -> None:
    pa = pyarrow()
    numbers = list(numbers)
    if len({name.lower() for name in values}) < len(values):
        values, numbers = _one_of_each_name(values, numbers, found)
    arrays = {name: _array(column) for name, column in values.items()}
    mixed = [name for name, array in arrays.items() if array is None]
    if not mixed:
        arrays[ROW] = pa.array(numbers, pa.int64())
        found.pieces.append(Piece(pa.table(arrays), kind))
        return
    for places in _by_types([values[name] for name in mixed]):
        part = {name: [column[place] for place in places] for name, column in values.items()}
        _add_values_of_one_type(kind, part, [numbers[place] for place in places], found)


def _one_of_each_name(values: Values, numbers: list[int], found: Pieces) -> tuple[Values, list[int]]:
    """Names that differ only in case are one column; a row with values under both has no place for one of them."""
    spelled: dict[str, list[str]] = {}
    for name in values:
        spelled.setdefault(name.lower(), []).append(name)
    good = []
    for place, number in enumerate(numbers):
        twice = [names for names in spelled.values() if sum(values[name][place] is not None for name in names) > 1]
        if twice:
            found.unfit[number] = f"{' and '.join(map(repr, twice[0]))} are the same column: DuckDB ignores case"
        else:
            good.append(place)
    merged = {
        names[0]: [next((values[n][place] for n in names if values[n][place] is not None), None) for place in good]
        for names in spelled.values()
    }
    return merged, [numbers[place] for place in good]


def _group(value: Any) -> Any:
    """Values of one group fit one Arrow type, if any: told to use a type, Arrow would round and drop what is nested."""
    if value is None or isinstance(value, (str, bytes, bool, int, float, datetime.date, datetime.timedelta, UUID)):
        return type(value)
    try:
        return type(value), str(_convert([value], None).type)
    except _conversion_errors():
        return type(value), None


def _by_types(columns: list[list[Any]]) -> Iterator[list[int]]:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, values in enumerate(zip(*columns, strict=True)):
        groups.setdefault(tuple(map(_group, values)), []).append(place)
    yield from groups.values()


def _add_values_of_one_type(kind: type, values: Values, numbers: list[int], found: Pieces) -> None:
    """What cannot be an array even so has values that fit nowhere (too large, no data), or differ inside."""
    pa = pyarrow()
    reasons: dict[int, str] = {}
    types: dict[str, Any] = {}
    for name, column in values.items():
        if _array(column) is None:
            types[name], misfits = _misfits(column)
            for place, reason in misfits.items():
                reasons.setdefault(place, f"column {name!r}: {reason}")
    found.unfit.update({numbers[place]: reason for place, reason in reasons.items()})
    good = [place for place in range(len(numbers)) if place not in reasons]
    if good:
        arrays = {}
        for name, column in values.items():
            kept = [column[place] for place in good]
            array = _array(kept)
            arrays[name] = _convert(kept, types[name]) if array is None else array
        arrays[ROW] = pa.array([numbers[place] for place in good], pa.int64())
        found.pieces.append(Piece(pa.table(arrays), kind))


def _misfits(values: list[Any]) -> tuple[Any, dict[int, str]]:
    """The type of the first value that fits one, and the places of those that do not fit it, and why."""
    kind: Any = None
    reasons: dict[int, str] = {}
    for place, value in enumerate(values):
        if value is None:
            continue
        try:
            array = _convert([value], kind)
            kind = array.type if kind is None else kind
        except _conversion_errors() as exc:
            reasons[place] = f"{_shortened(value)} cannot be stored: {_shortened(exc, str)}"
    return kind, reasons


def _array(values: list[Any]) -> Any | None:
    """An Arrow array; None: there is none that holds all of these values as they are."""
    try:
        array = _convert(values, None)
    except _conversion_errors():
        return None
    # pyarrow would cut the time off a datetime among dates, and take a zone from the first value for all.
    if str(array.type).startswith(("date", "timestamp")) and len(set(map(_time_kind, values)) - {None}) > 1:
        return None
    return array


def _convert(values: list[Any], kind: Any) -> Any:
    pa = pyarrow()
    try:
        array = pa.array(values, kind)
    except _conversion_errors():
        array = pa.array([_plain(value) for value in values], kind)
    _check_storable(array.type)
    return array


def _check_storable(kind: Any) -> None:
    """Raises `ValueError` for what Arrow holds and DuckDB does not."""
    pa = pyarrow()
    if pa.types.is_decimal256(kind):
        raise ValueError("it has more than the 38 digits that DuckDB's DECIMAL allows")
    inner = [kind.field(index) for index in range(kind.num_fields)]
    if pa.types.is_struct(kind) and len({field.name.lower() for field in inner}) < len(inner):
        raise ValueError("it has keys that differ only in case, which are the same key in DuckDB")
    for field in inner:
        _check_storable(field.type)


def _conversion_errors() -> tuple[type[Exception], ...]:
    pa = pyarrow()
    return (pa.ArrowException, TypeError, ValueError, OverflowError)


def _time_kind(value: Any) -> tuple[type, bool] | None:
    return None if value is None else (type(value), getattr(value, "tzinfo", None) is not None)


def _plain(value: Any) -> Any:
    """Structs, dataclasses and enums as what Arrow knows. Raises `TypeError` for what is no data."""
    return msgspec.to_builtins(value, builtin_types=_NATIVE, str_keys=False)


def _shortened(value: Any, text: Callable[[Any], str] = repr) -> str:
    shown = text(value).partition("\n")[0]
    return shown if len(shown) <= 100 else shown[:99] + "…"
