"""What is logged of a shelf, as columns of bytes and back: what becomes of which keys from here on. Pure.

Keys and values travel as rows do (`channel/codec.py`): what comes back is what was given, types and all. Not compiled:
compiled Structs lose the annotations by which they are decoded.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import msgspec

from penstock.channel.codec import RowCodec
from penstock.ctrl_c import is_ctrl_c
from penstock.operators.keyed_state import StateNotEncoded


class Op(IntEnum):
    """What is done to the keys of a change."""

    SET = 1
    """Each key has the value beside it."""
    REMOVE = 2
    """The keys are gone."""
    CLOSE = 3
    """The whole slice is gone; there are no keys."""
    EVICT = 4
    """So many values are taken from the front of the key's list, or from a buffer what is before a time (`fields`)."""
    APPEND = 5
    """A value is appended to the key's list; a key comes as often as it has new values."""
    PUT = 6
    """A field of the key's dict has the value."""
    DROP = 7
    """A field of the key's dict is gone."""
    EMPTY = 8
    """Each key has an empty list, dict or buffer."""
    INSERT = 9
    """A row is put in the key's buffer, at its time, which stands in the column of fields."""


class Change(msgspec.Struct):
    """One change of a shelf: columns of equal length, or empty where the operation has no use for them."""

    op: int
    groups: bytes
    """The group of each key."""
    keys: list[Any]
    values: list[Any] = []
    at: int = 0
    """The slice, where the shelf has slices."""
    fields: list[Any] = []


class Columns(msgspec.Struct, array_like=True):
    """A change as it stands in the log."""

    shelf: int
    op: int
    at: int
    groups: bytes
    keys: tuple[int, bytes]
    values: tuple[int, bytes]
    fields: tuple[int, bytes]


_EMPTY: Final[tuple[int, bytes]] = RowCodec().encode([])


class ChangeCodec:
    """Keys and values of one shelf."""

    def __init__(self, where: str, type: Any) -> None:
        """`where`: names the shelf in errors; `type`: annotation of a value."""
        self._where = where
        self._keys = RowCodec()
        self._values = RowCodec(type)

    def encode(self, shelf: int, change: Change) -> Columns:
        """Raises `StateNotEncoded` for a value that cannot be stored."""
        try:
            keys = self._keys.encode(change.keys) if change.keys else _EMPTY
            fields = self._keys.encode(change.fields) if change.fields else _EMPTY
            values = self._values.encode(change.values) if change.values else _EMPTY
        except BaseException as exc:  # pickling runs the user's code: whatever it raises
            if is_ctrl_c(exc):
                raise
            raise self._found(change, exc) from exc
        return Columns(shelf, change.op, change.at, change.groups, keys, values, fields)

    def _found(self, change: Change, error: BaseException) -> StateNotEncoded:
        """Which one it was."""
        for key, value in zip(change.keys, change.values):
            try:
                self._values.encode([value])
            except BaseException as exc:  # as above
                if is_ctrl_c(exc):
                    raise
                return StateNotEncoded(self._where, key, exc)
        return StateNotEncoded(self._where, change.keys[0], error)

    def decode(self, columns: Columns) -> Change:
        """Raises what decoding raises where the bytes do not fit the type any more."""
        keys = self._keys.decode(*columns.keys).batch
        fields = [] if columns.fields == _EMPTY else self._keys.decode(*columns.fields).batch
        values = self._values.decode(*columns.values)
        if values.failures:
            index, (_, why) = next(iter(values.failures.items()))
            raise ValueError(f"the value of {keys[index]!r}: {why}")
        return Change(columns.op, columns.groups, keys, values.batch, columns.at, fields)
