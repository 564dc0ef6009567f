"""Rows of one Struct class as arrays: the names of their fields stand once, in front of all rows, not in each row.

msgspec writes a Struct by names or by position, as its class says. Here any class goes by position: rows are written as
tuples, which `exact` looks at anyway, and read as rows of a twin of their class, which they then become.
"""

from __future__ import annotations

from inspect import getattr_static
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import astuple, force_setattr

from penstock.channel.exact import ExactRows

_MOST_NAMES_BYTES: Final = 60_000


class OtherFields(Exception):
    """The rows were written when their class had other fields."""


class ByPosition:
    """Rows of one class."""

    def __init__(self, row_class: Any, exact: ExactRows) -> None:
        """A class for which `goes_by_position` holds."""
        self._exact = exact
        self._row_class = row_class
        self._encoder = msgspec.msgpack.Encoder()
        self._names = _joined_names(row_class)
        self._front: bytes = self._encoder.encode((self._names, []))[:-1]
        """What a payload begins with, down to the array of rows."""
        twin = msgspec.defstruct(
            row_class.__name__, [], bases=(row_class,), module=row_class.__module__, array_like=True
        )
        self._twins = _decoder_of_rows(twin)

    def encode(self, rows: list[Any]) -> bytes | None:
        """The payload; None: some row is not exactly what its class says. Raises what msgspec raises."""
        try:
            tuples = list(map(astuple, rows))
        except AttributeError:  # a field without a value
            return None
        return self._encoder.encode((self._names, tuples)) if self._exact.tuples_fit(tuples) else None

    def decode(self, payload: bytes) -> list[Any]:
        """The rows. Raises `OtherFields`, and `ValidationError` if a field is of another type than when it was sent."""
        if not payload.startswith(self._front):
            raise OtherFields
        rows: list[Any] = self._twins.decode(memoryview(payload)[len(self._front) :])
        row_class = self._row_class
        for row in rows:
            # Both have the same layout: the twin adds nothing to its base. As an attribute it could not be set if the
            # class is frozen, and would make each row one more for the garbage collector.
            force_setattr(row, "__class__", row_class)
        return rows


def goes_by_position(row_class: Any) -> bool:
    """True: rows of this class, which travel as typed msgpack, may go by position."""
    config = row_class.__struct_config__
    if config.tag is not None or config.array_like or type(row_class) is not type(msgspec.Struct):
        return False
    is_told = getattr_static(row_class, "__init_subclass__") is not getattr_static(object, "__init_subclass__")
    return not is_told and len(_joined_names(row_class)) < _MOST_NAMES_BYTES


def by_name(payload: bytes, row_class: Any) -> bytes:
    """The same rows with the names in each, as rows go that are not written by position."""
    names, rows = _named.decode(payload)
    known = dict(zip(row_class.__struct_fields__, row_class.__struct_encode_fields__, strict=True))
    shown = [known.get(name, name) for name in names.decode().split("\n")] if names else []
    return _plain_encoder.encode([dict(zip(shown, row, strict=False)) for row in rows])


def _joined_names(row_class: Any) -> bytes:
    return "\n".join(row_class.__struct_fields__).encode()


def _decoder_of_rows(row_type: Any) -> Any:
    return msgspec.msgpack.Decoder(list[row_type])


_named: Final = msgspec.msgpack.Decoder(tuple[bytes, list[list[Raw]]])
_plain_encoder: Final = msgspec.msgpack.Encoder()
