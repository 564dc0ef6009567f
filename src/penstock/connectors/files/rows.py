"""What a sink is given, made into a list of rows, and what fields a row has. Used by the writers of files."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.batch import Batch, Lines
from penstock.errors import ExtraMissing


def require_pyarrow() -> Any:
    """The `pyarrow` package, or `ExtraMissing`."""
    try:
        import pyarrow
    except ImportError as exc:
        raise ExtraMissing("pyarrow", "arrow") from exc
    return pyarrow


def is_columns(batch: Batch[Any]) -> bool:
    """True: the batch speaks the Arrow PyCapsule protocol."""
    return hasattr(batch, "__arrow_c_stream__")


def as_rows(batch: Batch[Any]) -> Sequence[Any]:
    """The rows of any batch, one object each."""
    if isinstance(batch, Lines):
        return batch.split()
    if is_columns(batch):
        table = require_pyarrow().RecordBatchReader.from_stream(batch).read_all()
        return typing.cast(Sequence[Any], table.to_pylist())
    return typing.cast(Sequence[Any], batch)


def field_names(kind: Any) -> tuple[str, ...]:
    """The fields of a Struct, dataclass, TypedDict or NamedTuple, in order; none where the type does not tell."""
    if not isinstance(kind, type):
        return ()
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if typing.is_typeddict(kind):
        return tuple(typing.get_type_hints(kind))
    named = getattr(kind, "_fields", ())
    return tuple(named) if issubclass(kind, tuple) else ()


def fields_of(row: Any) -> tuple[str, ...]:
    """The field names of one row. Raises `TypeError` for a row that has none."""
    if isinstance(row, Mapping):
        return tuple(str(name) for name in row)
    if names := field_names(type(row)):
        return names
    raise TypeError(f"a row of type {type(row).__name__} has no fields")
