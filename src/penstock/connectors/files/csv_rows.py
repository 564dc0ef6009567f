"""CSV text made into the user's type. Runs as an operator, so that a record that does not fit is a row's error."""

from __future__ import annotations

import typing
from types import NoneType, UnionType
from typing import Any

import msgspec

from penstock.connectors.files.csv_reader import CsvInput
from penstock.connectors.files.rows import field_names


class FromCsv:
    """Makes a row of `kind` from a dict of texts: `"7"` becomes 7, an empty text None where None is allowed."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._plain = kind is Any or kind == dict[str, str] or kind is dict
        self._nullable = nullable_fields(kind)

    def __call__(self, row: CsvInput) -> Any:
        if self._plain:
            return row
        given: dict[str, str | None] = dict(row)
        for name in self._nullable:
            if given.get(name) == "":
                given[name] = None
        return msgspec.convert(given, self._kind, strict=False)


def nullable_fields(kind: Any) -> tuple[str, ...]:
    """Columns in which an empty text means None: their type allows None and no text."""
    names = field_names(kind)
    if not names:
        return ()
    encoded = dict(zip(names, getattr(kind, "__struct_encode_fields__", names)))
    hints = typing.get_type_hints(kind)
    return tuple(encoded[name] for name in names if _nullable(hints.get(name)))


def _nullable(hint: Any) -> bool:
    if typing.get_origin(hint) is typing.Annotated:
        return _nullable(typing.get_args(hint)[0])
    if typing.get_origin(hint) not in (typing.Union, UnionType):
        return False
    allowed = typing.get_args(hint)
    return NoneType in allowed and str not in allowed
