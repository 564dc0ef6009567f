"""Columns: from rows and back, and between the libraries that user functions ask for. Needs the `arrow` extra."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from penstock.batch import Lines
from penstock.column_rows import convertible
from penstock.errors import ExtraMissing


@lru_cache(maxsize=1)
def arrow() -> Any:
    """The pyarrow module. Raises `ExtraMissing`."""
    try:
        import pyarrow
    except ImportError as exc:
        raise ExtraMissing("pyarrow", "arrow") from exc
    return pyarrow


@lru_cache(maxsize=1)
def compute() -> Any:
    """Its kernels."""
    arrow()
    import pyarrow.compute

    return pyarrow.compute


def _library(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as exc:
        raise ExtraMissing(name, name) from exc


def as_table(columns: Any) -> Any:
    """A `pyarrow.Table` of anything that speaks the Arrow protocol.

    Of a pandas frame the levels of its index that have a name are columns; the others only number its rows.
    """
    pa = arrow()
    if isinstance(columns, pa.Table):
        return columns
    if isinstance(columns, pa.RecordBatch):
        return pa.Table.from_batches([columns])
    if type(columns).__module__.partition(".")[0] == "pandas" and hasattr(columns, "columns"):
        return pa.Table.from_pandas(_with_named_index(columns), preserve_index=False)
    if hasattr(columns, "__arrow_c_stream__") and not _is_series(columns):
        return pa.table(columns)
    raise TypeError(
        f"a batch function returned {type(columns).__name__}; return a pyarrow.RecordBatch or Table, "
        "a polars or a pandas DataFrame"
    )


def _with_named_index(frame: Any) -> Any:
    """After `groupby` or `set_index` the key is there and nowhere else."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=named) if named else frame


def _is_series(columns: Any) -> bool:
    """One column without a name around it."""
    return type(columns).__name__ == "Series"


def as_result(columns: Any) -> Any:
    """What a batch function gave, as columns that stay as they are: a frame of polars is not made over twice.

    Raises `TypeError`.
    """
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(columns, polars.DataFrame):
        return columns.clone()  # of the frame, not of what is in it: the function may do what it likes with its own
    return as_table(columns)


def joined(tables: Sequence[Any]) -> Any:
    """Tables of one schema, one below the other."""
    return arrow().concat_tables(tables)


def as_library(columns: Any, library: str) -> Any:
    """Columns in the shape a user function is annotated with."""
    if library == "polars.DataFrame":
        polars = _library("polars")
        return columns.clone() if isinstance(columns, polars.DataFrame) else polars.from_arrow(columns)
    table = as_table(columns)
    if library == "pyarrow.Table":
        return table
    if library == "pandas.DataFrame":
        _library("pandas")
        return table.to_pandas()
    pa = arrow()
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def rows_to_table(rows: Sequence[Any]) -> Any:
    """Columns of rows that are dicts, Structs or dataclasses; anything else becomes one column `value`."""
    if (fields := _shared_fields(rows)) is not None:
        return _table_of({name: list(map(attrgetter(name), rows)) for name in fields})
    if rows and all(map(_SCALARS.__contains__, set(map(type, rows)))):
        return arrow().table({"value": rows})
    dicts = [_as_dict(row) for row in rows]
    # pyarrow takes the columns of the first row only: a field that comes later would be lost.
    names = dict.fromkeys(name for row in dicts for name in row)
    return _table_of({name: [row.get(name) for row in dicts] for name in names})


def _table_of(values: Mapping[str, list[Any]]) -> Any:
    """Raises `TypeError` where Arrow would silently change values of a kind other than the first one's.

    What is inside of lists and nested rows is not looked at.
    """
    table, types = arrow().table(values), arrow().types
    for field in table.schema:
        there = (value for value in values[field.name] if value is not None)
        if types.is_timestamp(field.type) or types.is_time(field.type):
            kinds = {"without a zone" if _zone(value) is None else "with a zone" for value in there}
        elif types.is_date(field.type) or types.is_binary(field.type):
            kinds = {kind.__name__ for kind in set(map(type, there))}
        else:
            continue
        if len(kinds) > 1:
            told = " and ".join(sorted(kinds))
            raise TypeError(f"column {field.name!r} has values of several kinds: {told}; make them one kind before")
    return table


def _zone(value: Any) -> Any:
    return getattr(value, "tzinfo", None)


def lines_to_table(lines: Lines) -> Any:
    """The lines as one column `value` of text, as `Lines.split` gives them; made without a Python object for each."""
    data, end = lines.data, len(lines.data) - lines.data.endswith(b"\n")
    if b"\r" in data or len(data) >= _MOST_TEXT_BYTES:
        return arrow().table({"value": lines.split()})
    if not data.isascii():
        data = data.decode("utf-8", "replace").encode()
        end = len(data) - data.endswith(b"\n")
    pa = arrow()
    import pyarrow.compute as compute

    text = pa.StringArray.from_buffers(1, pa.py_buffer(array("i", [0, end])), pa.py_buffer(data))
    return pa.table({"value": compute.split_pattern(text, "\n").flatten()})


_MOST_TEXT_BYTES = 2**31
"""A column of text has offsets of 32 bits."""


_SCALARS = frozenset({int, float, str, bytes, bool, type(None)})


def _shared_fields(rows: Sequence[Any]) -> Sequence[str] | None:
    """The fields of rows that are all Structs of one class, or None."""
    kinds = set(map(type, rows))
    kind = kinds.pop() if len(kinds) == 1 else None
    return kind.__struct_fields__ if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def table_to_rows(table: Any, row_type: Any) -> list[Any]:
    """Rows of columns: dicts, or instances of a class made by its fields' names."""
    rows: list[Any] = table.to_pylist(maps_as_pydicts="strict")
    if isinstance(row_type, type) and row_type is not dict:
        if issubclass(row_type, msgspec.Struct) or hasattr(row_type, "__dataclass_fields__"):
            return [row_type(**row) for row in rows]
        if table.column_names == ["value"] and issubclass(row_type, (int, float, str, bytes, bool)):
            return [row["value"] for row in rows]
    return rows


def ends_of(table: Any, field: str) -> list[Any]:
    """The least and the greatest value of a column of numbers or times; empty where it must be looked at row by row.

    That is where it is of another type, or some row has no value.
    """
    if field not in table.column_names:
        return []
    column, types = table.column(field), arrow().types
    if types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(arrow().timestamp("us", tz=column.type.tz), safe=False)
    elif not types.is_integer(column.type) and not types.is_float64(column.type):
        return []
    import pyarrow.compute as compute

    if not len(column) or column.null_count:
        return []
    if types.is_floating(column.type) and compute.any(compute.is_nan(column)).as_py():
        return []
    ends = compute.min_max(column)
    return [ends["min"].as_py(), ends["max"].as_py()]


def rows_or_failures(table: Any, row_type: Any) -> tuple[list[Any], dict[int, tuple[Any, str]]]:
    """As `table_to_rows`, with None for rows that cannot be made: what to show of them, and why, by their index."""
    return convertible(table, lambda piece: table_to_rows(piece, row_type))


def _as_dict(row: Any) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if isinstance(row, msgspec.Struct):
        return msgspec.structs.asdict(row)
    if hasattr(type(row), "__dataclass_fields__"):
        import dataclasses  # where rows are some, it is there

        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return {"value": row}


def encode_table(table: Any) -> bytes:
    """Arrow IPC stream."""
    pa = arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def decode_table(payload: bytes) -> Any:
    """The table of an Arrow IPC stream; its buffers belong to `payload`, which is a copy."""
    return arrow().ipc.open_stream(payload).read_all()
