"""Values that nobody can change in place, all through: to keep one, no copy is needed. Pure."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import astuple

_FROZEN: Final = frozenset({
    int, float, complex, bool, str, bytes, type(None), date, datetime, time, timedelta, Decimal, UUID,
})


def is_frozen(value: Any) -> bool:
    """False: it may be changed in place, or something in it may; it may also just not be known."""
    kind = type(value)
    if kind in _FROZEN:
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_frozen, value))
    if isinstance(value, Enum):
        return True
    if isinstance(value, msgspec.Struct):
        return bool(kind.__struct_config__.frozen) and not kind.__dictoffset__ and all(map(is_frozen, astuple(value)))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return all(map(is_frozen, value))
    if dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return all(is_frozen(getattr(value, field.name, None)) for field in dataclasses.fields(kind))
    return False
