"""The key of a row where a field is the key: the sender routes by it, and the receiver keeps state by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def field_getter(name: str) -> Callable[[Any], Any]:
    """What gives the field of a row, be it a dict or an object."""

    def get(row: Any) -> Any:
        return row[name] if isinstance(row, dict) else getattr(row, name)

    return get
