"""Rows of classes that only a test knows, such as those defined in it: pickled by reference, for this process only.

A worker finds classes by their names, and a test's own have none that pickle could find. What waits for another
attempt, or is set aside, never leaves the test's process: so a number stands for the class.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

_kept: list[Any] = []
"""Classes and functions by their numbers."""


def pickled(row: object) -> bytes:
    """As `penstock.dead_letters.pickled`. Raises what pickling raises."""
    data = io.BytesIO()
    _Pickler(data, 5).dump(row)
    return data.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if "<locals>" not in getattr(obj, "__qualname__", "") or not isinstance(obj, type):
            return NotImplemented
        if not any(obj is kept for kept in _kept):
            _kept.append(obj)
        return _kept_class, (next(number for number, kept in enumerate(_kept) if kept is obj),)


def _kept_class(number: int) -> Any:
    return _kept[number]
