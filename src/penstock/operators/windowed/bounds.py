"""`start` and `end` of a window as a row shows them: a datetime, or a number in the unit of the rows' own times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.signatures.row_classes import plain_class
from penstock.windows.window import CountWindow, SessionWindow, SlicedWindow, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT = {"s": "{} // 1_000_000", "ms": "{} // 1_000", "us": "{}", "ns": "{} * 1_000"}
_FLOAT = {"s": "{} / 1_000_000", "ms": "{} / 1_000", "us": "float({})", "ns": "{} * 1_000.0"}
UNIT_US = {"s": 1_000_000, "ms": 1_000}
"""Units that are longer than a microsecond."""


def as_datetime(moment: int) -> datetime:
    """A moment in UTC."""
    return _EPOCH + timedelta(microseconds=moment)


def bound_type(shown_as: Any, time: Any, window: Window, unit: str) -> type:
    """What a bound becomes. `shown_as`: the annotation of its field; `time`: that of the rows' times."""
    kind = plain_class(shown_as)
    if kind in (datetime, int, float):
        return kind
    kind = plain_class(time)
    if kind is int and is_between(window, unit):
        return float
    return kind if kind in (datetime, int) else float


def is_between(window: Window, unit: str) -> bool:
    """True: bounds of the window lie between whole numbers of the unit."""
    whole = UNIT_US.get(unit, 1)
    return any(length % whole for length in _lengths(window))


def _lengths(window: Window) -> tuple[int, ...]:
    match window:
        case SlicedWindow():
            return (window.size_us, window.every_us, window.offset_us)
        case SessionWindow():
            return (window.gap_us,)
        case CountWindow():
            return ()
    return ()


def bound_text(kind: type, unit: str, moment: str) -> str:
    """An expression that makes it; `moment` is a name. `as_datetime` must be known where it is used."""
    if kind is datetime:
        return f"as_datetime({moment})"
    return (_INT if kind is int else _FLOAT)[unit].format(moment)
