"""Whole columns as the fields of COPY's text format: all values at once where they are of one plain type. Pure.

`value_text.py` says what becomes of a single value; what is done at once here gives the same.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from penstock.connectors.postgres.schema import INTEGERS, Column
from penstock.connectors.postgres.value_text import Misfit, text_of

NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
Texts = list[str]


def fields(values: Sequence[Any], column: Column) -> tuple[Texts, dict[int, str]]:
    """(a field for each value, why some values have none by their place)."""
    kinds = set(map(type, values))
    empty = type(None) in kinds
    kinds.discard(type(None))
    if not kinds:
        return [NULL] * len(values), {}
    if len(kinds) == 1:
        present = [value for value in values if value is not None] if empty else values
        texts = _at_once(present, kinds.pop(), column)
        if texts is not None:
            return _with_nulls(values, texts) if empty else texts, {}
    return _one_by_one(values, column)


def _with_nulls(values: Sequence[Any], texts: Texts) -> Texts:
    present = iter(texts)
    return [NULL if value is None else next(present) for value in values]


def _one_by_one(values: Sequence[Any], column: Column) -> tuple[Texts, dict[int, str]]:
    texts: Texts = []
    misfits: dict[int, str] = {}
    for place, value in enumerate(values):
        try:
            texts.append(NULL if value is None else escaped_text(text_of(value, column)))
        except Misfit as misfit:
            misfits[place] = str(misfit)
            texts.append(NULL)
    return texts, misfits


def escaped_text(text: str) -> str:
    """Raises `Misfit` for what no text of the server's can hold."""
    if "\0" in text:
        raise Misfit("text with a NUL character cannot be stored in PostgreSQL")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise Misfit(f"text with half a surrogate pair cannot be stored in PostgreSQL ({exc})") from None
    return text.translate(_ESCAPES)


def _at_once(values: Sequence[Any], kind: type, column: Column) -> Texts | None:
    """None: they are to be looked at one by one."""
    if column.array:
        return None
    writer = _WRITERS.get((column.base, kind))
    return None if writer is None else writer(values, column)


def fits_integers(values: Sequence[int], column: Column) -> bool:
    """Whether all are in range."""
    most = 1 << (INTEGERS[column.base] - 1)
    return -most <= min(values) and max(values) < most


def _integers(values: Sequence[int], column: Column) -> Texts | None:
    return list(map(str, values)) if fits_integers(values, column) else None


def _floats(values: Sequence[float], column: Column) -> Texts | None:
    return list(map(repr, values))


def _numbers(values: Sequence[Any], column: Column) -> Texts | None:
    if column.scale is not None:
        return None
    texts = list(map(str, values))
    return None if any("N" in text and text != "NaN" for text in texts) else texts


def fits_as_text(values: Sequence[str], column: Column) -> bool:
    """Whether all are text that the server can hold, and none is too long."""
    if column.length is not None and max(map(len, values)) > column.length:
        return False
    joined = "".join(values)
    if "\0" in joined:
        return False
    if not joined.isascii():
        try:
            joined.encode()
        except UnicodeEncodeError:
            return False
    return True


def _strings(values: Sequence[str], column: Column) -> Texts | None:
    if not fits_as_text(values, column):
        return None
    joined = "".join(values)
    if "\\" in joined or "\t" in joined or "\n" in joined or "\r" in joined:
        return [value.translate(_ESCAPES) for value in values]
    return list(values)


def _booleans(values: Sequence[bool], column: Column) -> Texts | None:
    return ["t" if value else "f" for value in values]


def _bytes(values: Sequence[bytes], column: Column) -> Texts | None:
    return ["\\\\x" + value.hex() for value in values]


def fits_as_moments(values: Sequence[datetime.datetime], column: Column) -> bool:
    """Whether all have a zone, or none has, as the column does; and no second loses digits."""
    if column.second_digits < 6:
        return False
    return {value.tzinfo is not None for value in values} == {column.base == "timestamptz"}


def _moments(values: Sequence[datetime.datetime], column: Column) -> Texts | None:
    return list(map(str, values)) if fits_as_moments(values, column) else None


def _as_text(values: Sequence[Any], column: Column) -> Texts | None:
    return list(map(str, values))


_WRITERS: dict[tuple[str, type], Callable[[Sequence[Any], Column], Texts | None]] = {
    **{(base, int): _integers for base in INTEGERS}, ("float8", float): _floats, ("float4", float): _floats,
    ("numeric", int): _numbers, ("numeric", Decimal): _numbers, ("text", str): _strings, ("varchar", str): _strings,
    ("bpchar", str): _strings, ("bool", bool): _booleans, ("bytea", bytes): _bytes,
    ("timestamp", datetime.datetime): _moments, ("timestamptz", datetime.datetime): _moments,
    ("date", datetime.date): _as_text, ("uuid", UUID): _as_text,
}
