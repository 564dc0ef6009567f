"""The rows that windows give where no class is named: `WindowResult` and `Ranked`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

K = TypeVar("K")
V = TypeVar("V")


class WindowResult(msgspec.Struct, Generic[K, V], frozen=True):
    """What `fold` and `collect` give for a key and window."""

    key: K
    start: Any
    """A datetime, or a number in the unit of the rows' own times."""
    end: Any
    value: V


class Ranked(msgspec.Struct, Generic[K, V], frozen=True):
    """A row that `top` gives."""

    key: K
    start: Any
    """As in `WindowResult`."""
    end: Any
    rank: int
    """1: `by` is largest."""
    row: V


def ranked(result: WindowResult[K, list[V]]) -> list[Ranked[K, V]]:
    """The rows of a window, which are in their order."""
    return [Ranked(result.key, result.start, result.end, at, row) for at, row in enumerate(result.value, 1)]
