"""What fields rows have, by their type or one by one. Used by CSV and Parquet."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import msgspec


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
