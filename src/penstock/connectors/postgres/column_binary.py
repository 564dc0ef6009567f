"""Whole columns as the values of COPY's binary format, if all of them are of the one plain type of theirs. Pure.

psycopg packs these several times as fast as text can be made of them, and the server reads them faster. Anything else
goes as text (`column_text.py`), where each value is looked at, and which says what becomes of it here, too.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from penstock.connectors.postgres.column_text import fits_as_moments, fits_as_text, fits_integers
from penstock.connectors.postgres.schema import INTEGERS, Column
from penstock.connectors.postgres.value_text import Misfit, json_text

_JSONB_VERSION = "\x01"


@dataclass(frozen=True, slots=True)
class Plain:
    """Columns of as many values each, and the types by which psycopg packs them."""

    types: tuple[str, ...]
    values: tuple[Sequence[Any], ...]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.values, strict=True)


def plain(columns: Sequence[tuple[Column, Sequence[Any]]]) -> Plain | None:
    """None: some value is not plain."""
    found = []
    for column, values in columns:
        one = _plain_column(values, column)
        if one is None:
            return None
        found.append(one)
    return Plain(tuple(kind for kind, _ in found), tuple(values for _, values in found))


def _plain_column(values: Sequence[Any], column: Column) -> tuple[str, Sequence[Any]] | None:
    kinds = set(map(type, values))
    empty = type(None) in kinds
    kinds.discard(type(None))
    if column.array or (empty and not column.nullable):
        return None
    if column.base in ("json", "jsonb"):
        return _documents(values, column)
    if not kinds:
        return ("text" if column.base in _TEXTS else column.base, values) if column.base in _KNOWN else None
    kind = kinds.pop()
    if kinds:
        return None
    if issubclass(kind, enum.Enum):
        inside = [None if value is None else value.value for value in values]
        return None if any(isinstance(value, enum.Enum) for value in inside) else _plain_column(inside, column)
    fits = _FITS.get((column.base, kind))
    present = [value for value in values if value is not None] if empty else values
    if fits is None or not fits(present, column):
        return None
    return "text" if column.base in _TEXTS else column.base, values


def _documents(values: Sequence[Any], column: Column) -> tuple[str, Sequence[Any]] | None:
    start = _JSONB_VERSION if column.base == "jsonb" else ""
    try:
        texts = [None if value is None else start + json_text(value) for value in values]
    except Misfit:
        return None
    return "text", texts


def _always(values: Sequence[Any], column: Column) -> bool:
    return True


def _numbers(values: Sequence[Decimal], column: Column) -> bool:
    return column.scale is None and not any(map(Decimal.is_snan, values))


def _times(values: Sequence[datetime.time], column: Column) -> bool:
    return column.second_digits == 6 and not any(value.tzinfo is not None for value in values)


def _spans(values: Sequence[datetime.timedelta], column: Column) -> bool:
    return column.modifier < 0


_TEXTS = ("text", "varchar", "bpchar")
_FITS: Mapping[tuple[str, type], Callable[[Sequence[Any], Column], bool]] = {
    **{(base, int): fits_integers for base in INTEGERS}, ("float8", float): _always,
    **{(base, str): fits_as_text for base in _TEXTS}, ("bool", bool): _always, ("bytea", bytes): _always,
    ("numeric", Decimal): _numbers, ("timestamp", datetime.datetime): fits_as_moments,
    ("timestamptz", datetime.datetime): fits_as_moments, ("date", datetime.date): _always,
    ("time", datetime.time): _times, ("interval", datetime.timedelta): _spans, ("uuid", UUID): _always,
}
_KNOWN = frozenset(base for base, _ in _FITS)
