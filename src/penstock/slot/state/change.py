"""What is logged of a shelf, as columns of bytes and back: which keys have which values from here on. Pure.

Keys and values travel as rows do (`channel/codec.py`): what comes back is what was given, types and all.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from penstock.channel.codec import RowCodec
from penstock.ctrl_c import is_ctrl_c


class Op(IntEnum):
    """What is done to the keys of a change."""

    SET = 1
    """Each key has the value beside it."""
    REMOVE = 2
    """The keys are gone."""


class Change(msgspec.Struct):
    """One change of a shelf: columns of equal length, and where in the shelf (`at`) if the kind of shelf has places."""

    op: int
    groups: bytes
    """The group of each key."""
    keys: list[Any]
    values: list[Any]
    at: int = 0

    def by_group(self) -> list[tuple[int, Change]]:
        """The same, a change for each group."""
        places: dict[int, list[int]] = {}
        for place, group in enumerate(self.groups):
            places.setdefault(group, []).append(place)
        keys, values = self.keys, self.values
        parts = []
        for group, mine in places.items():
            theirs = [values[place] for place in mine] if values else []
            parts.append((group, Change(self.op, b"", [keys[place] for place in mine], theirs, self.at)))
        return parts


class Columns(msgspec.Struct, array_like=True):
    """A change as it stands in the log."""

    shelf: int
    op: int
    at: int
    groups: bytes
    keys: tuple[int, bytes]
    values: tuple[int, bytes]


class StateNotEncoded(Exception):
    """A value of the state cannot be stored."""

    def __init__(self, where: str, key: Any, error: BaseException) -> None:
        super().__init__(where, key, error)
        self.where = where
        """The operator, and the shelf."""
        self.key = key
        self.error = error


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
            keys, values = self._keys.encode(change.keys), self._values.encode(change.values)
        except BaseException as exc:  # pickling runs the user's code: whatever it raises
            if is_ctrl_c(exc):
                raise
            raise self._found(change, exc) from exc
        return Columns(shelf, change.op, change.at, change.groups, keys, values)

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
        values = self._values.decode(*columns.values)
        if values.failures:
            index, (_, why) = next(iter(values.failures.items()))
            raise ValueError(f"the value of {keys[index]!r}: {why}")
        return Change(columns.op, columns.groups, keys, values.batch, columns.at)
