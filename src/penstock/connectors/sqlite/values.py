"""Values as SQLite stores them, and the types of columns. Pure."""

from __future__ import annotations

import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import msgspec

from penstock.connectors.row_fields import bare

_STORED = (int, float, str, bytes)
_TYPES: Mapping[Any, str] = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
_AS_TEXT = (datetime.date, datetime.time)


def stored(value: Any) -> Any:
    """What SQLite is given for a value. Raises `TypeError`, `ValueError` for one that it cannot hold."""
    if type(value) is float and isnan(value):
        raise ValueError("SQLite has no NaN: it would store NULL")
    if value is None or type(value) in _STORED:
        return value
    if isinstance(value, enum.Enum):
        return stored(value.value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, _AS_TEXT):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, int):  # of a subclass; so below
        return int(value)
    if isinstance(value, float):
        return stored(float(value))
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return bytes(value)
    return msgspec.json.encode(value).decode()


def type_of(annotation: Any, values: Sequence[Any]) -> str:
    """The type of a column: by the annotation of its field, else by its values."""
    annotation = bare(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        found = {type_of(member, ()) for member in members}
        return found.pop() if len(found) == 1 else "ANY"
    if annotation in _TYPES:
        return _TYPES[annotation]
    if annotation is not None and annotation is not Any:
        return "ANY" if annotation is object else "TEXT"
    kinds = {_TYPES.get(type(stored(value)), "ANY") for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 else "ANY"
