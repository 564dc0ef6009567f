"""What rows hold, by name: their values turned by ninety degrees, and their annotations. Used by the table sinks."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

Values = dict[str, list[Any]]
"""Column by column, each with a value per row."""


def values_by_name(kind: type, rows: Sequence[Any]) -> Values:
    """The columns of rows of one class. Rows without fields give one column `value`."""
    if issubclass(kind, Mapping):
        return _values_of_mappings(rows)
    names: Sequence[str] | None = None
    if issubclass(kind, msgspec.Struct):
        names = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
    if names is None:
        return {"value": list(rows)}
    return {name: list(map(attrgetter(name), rows)) for name in names}


def _values_of_mappings(rows: Sequence[Mapping[Any, Any]]) -> Values:
    names = list(rows[0])
    try:
        if all(len(row) == len(names) for row in rows):
            return {str(name): [row[name] for row in rows] for name in names}
    except KeyError:
        pass
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {str(name): [row.get(name) for row in rows] for name in names}


def field_types(kind: Any) -> Mapping[str, Any]:
    """The annotated fields of a class of rows; empty where it has none."""
    if not isinstance(kind, type):
        return {}
    named = issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    if named or typing.is_typeddict(kind):
        try:
            return typing.get_type_hints(kind, include_extras=True)
        except (NameError, TypeError):  # an annotation that cannot be resolved here: the values tell
            return {}
    return {}


def bare(annotation: Any) -> Any:
    """An annotation without `Annotated`, `NewType`, `Required` and the like around it."""
    while True:
        if typing.get_origin(annotation) in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final):
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation
