"""The columns of a table that is to be made: by the annotations of its rows, or by the first of their values. Pure."""

from __future__ import annotations

import datetime
import enum
import types
import typing
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from penstock.connectors.postgres.connection import quoted
from penstock.connectors.postgres.names import NAME_BYTES, TableName
from penstock.connectors.postgres.schema import INTEGERS
from penstock.connectors.postgres.value_text import plain
from penstock.connectors.row_fields import bare, field_types

_TYPES: Mapping[Any, str] = {
    bool: "boolean", int: "bigint", float: "double precision", str: "text", bytes: "bytea", bytearray: "bytea",
    datetime.datetime: "timestamp with time zone", datetime.date: "date", datetime.time: "time without time zone",
    datetime.timedelta: "interval", Decimal: "numeric", UUID: "uuid", Any: "jsonb", object: "jsonb",
}
_NAIVE = "timestamp without time zone"
_JSON = (dict, list, tuple, set, frozenset, Mapping, Sequence)


class NoType(ValueError):
    """An annotation or a value that no column type is known for."""


def type_of(annotation: Any) -> tuple[str, bool]:
    """(the column's type, whether it may be NULL). Raises `NoType`."""
    if typing.get_origin(annotation) is typing.Annotated and bare(annotation) is datetime.datetime:
        zones = [meta.tz for meta in annotation.__metadata__ if isinstance(meta, msgspec.Meta) and meta.tz is not None]
        return (_NAIVE if zones and not zones[-1] else _TYPES[datetime.datetime]), False
    if typing.get_origin(annotation) is typing.NotRequired:
        return type_of(typing.get_args(annotation)[0])[0], True
    annotation = bare(annotation)
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _type_of_union(typing.get_args(annotation))
    if origin is typing.Literal:
        return _type_of_values_of_a_class(map(type, typing.get_args(annotation)))
    return _type_of_class(annotation if origin is None else origin), annotation in (Any, object)


def _type_of_union(members: Sequence[Any]) -> tuple[str, bool]:
    nullable = type(None) in members
    found = [type_of(member) for member in members if member not in (type(None), msgspec.UnsetType)]
    kinds = {kind for kind, _ in found}
    nullable = nullable or any(may for _, may in found) or msgspec.UnsetType in members
    if kinds == {"bigint", "double precision"}:
        return "double precision", nullable
    return (kinds.pop() if len(kinds) == 1 else "jsonb"), nullable


def _type_of_values_of_a_class(kinds: Any) -> tuple[str, bool]:
    return _type_of_union(list(dict.fromkeys(kinds)))


def _type_of_class(kind: Any) -> str:
    if kind in _TYPES:
        return _TYPES[kind]
    if isinstance(kind, type):
        if issubclass(kind, enum.Enum):
            return _type_of_values_of_a_class(type(plain(member)) for member in kind)[0]
        if field_types(kind) or issubclass(kind, (*_JSON, msgspec.Struct)):
            return "jsonb"
        for known, name in _TYPES.items():
            if known not in (Any, object) and issubclass(kind, known):
                return name
    raise NoType(f"no column type is known for {getattr(kind, '__qualname__', kind)}")


def type_of_column(annotation: Any, values: Sequence[Any]) -> tuple[str, bool]:
    """For a table made of the first rows: whether times have a zone is seen in them. Raises `NoType`."""
    if annotation is None or bare(annotation) in (Any, object):
        return type_of_values(values), True
    kind, nullable = type_of(annotation)
    if kind == _TYPES[datetime.datetime]:
        first = next((value for value in values if isinstance(value, datetime.datetime)), None)
        if first is not None and first.tzinfo is None:
            kind = _NAIVE
    return kind, nullable


def type_of_values(values: Sequence[Any]) -> str:
    """By the first that is not None; whole numbers among others make room for all of these."""
    kinds = dict.fromkeys(type(plain(value)) for value in values if value is not None)
    if not kinds:
        return "text"
    types = {_type_of_class(kind) for kind in kinds}
    if types == {"bigint", "double precision"}:
        return "double precision"
    first = next(plain(value) for value in values if value is not None)
    kind = _type_of_class(type(first))
    if kind == _TYPES[datetime.datetime]:
        return kind if first.tzinfo is not None else _NAIVE
    whole = [value for value in values if type(value) is int] if kind == "bigint" else []
    most = 1 << (INTEGERS["int8"] - 1)
    return "numeric" if whole and not -most <= min(whole) <= max(whole) < most else kind


def create_statement(table: TableName, columns: Mapping[str, tuple[str, bool]], keys: Sequence[str]) -> str:
    """`columns`: type, and whether it may be NULL, by name. Raises `NoType` for names that the server would cut."""
    for name in columns:
        if not name or "\0" in name or len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES:
            raise NoType(f"{name!r} cannot be a column's name: it takes 1 to {NAME_BYTES} bytes")
    lines = [f"{quoted(name)} {kind}{'' if may else ' NOT NULL'}" for name, (kind, may) in columns.items()]
    if keys:
        lines.append(f"PRIMARY KEY ({', '.join(map(quoted, keys))})")
    return f"CREATE TABLE {table.sql} ({', '.join(lines)})"
