"""Event time as the engine has it: whole microseconds since 1970 in UTC, and what the user's values become.

A watermark is such a moment: no row that comes behind it in order has an earlier time. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from operator import index
from typing import Any, Final, Literal, TypeAlias, get_args

NO_WATERMARK: Final = -(2**63)
"""Nothing is known yet of the times of what comes."""
END_OF_TIME: Final = 2**63 - 1
"""Nothing comes any more."""

Unit: TypeAlias = Literal["s", "ms", "us", "ns"]
"""What numbers are that stand for moments."""

_PER_SECOND: Final[Mapping[str, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MICROSECONDS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
FIRST_MOMENT: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
LAST_MOMENT: Final = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def moments(unit: str) -> Callable[[Any], int]:
    """What makes a moment of a value: a number of this unit since 1970, or a `datetime` with its time zone.

    It raises `TypeError` for values of other types, and `ValueError` for numbers that are no moment.
    """
    if unit not in _PER_SECOND:
        raise ValueError(f"{unit!r} is not a unit of time; write one of {', '.join(map(repr, get_args(Unit)))}")
    factor = _MICROSECONDS / _PER_SECOND[unit]
    whole = max(_MICROSECONDS // _PER_SECOND[unit], 1)
    part = max(_PER_SECOND[unit] // _MICROSECONDS, 1)
    first, last = FIRST_MOMENT / factor, LAST_MOMENT / factor
    first_whole, last_whole = FIRST_MOMENT * part // whole, LAST_MOMENT * part // whole

    def of_other(value: Any) -> int:
        """Of a value whose class is none of the usual three: a subclass of them, or a number of a library."""
        if isinstance(value, datetime):
            return _of_datetime(value)
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise TypeError(
                f"a time must be a number or a datetime, not {type(value).__name__}: {value!r}; "
                "convert it before event_time, or give event_time a function that does"
            )
        return moment(int(index(value)) if hasattr(value, "__index__") else float(value))

    def moment(value: Any) -> int:
        kind = value.__class__
        at: int
        if kind is float:
            if first <= value <= last:  # NaN is neither
                at = round(value * factor)
                return at
        elif kind is int:
            if first_whole <= value <= last_whole:
                at = value * whole // part
                return at
        elif kind is datetime:
            return _of_datetime(value)
        else:
            return of_other(value)
        raise ValueError(_outside(value, unit))

    return moment


def moments_of_field(unit: str, name: str) -> Callable[[Any], int]:
    """What makes the moment of a row, be it a dict or an object, that has its time in a field."""
    moment = moments(unit)

    def moment_of_row(row: Any) -> int:
        return moment(row[name] if isinstance(row, dict) else getattr(row, name))

    return moment_of_row


def _of_datetime(value: datetime) -> int:
    try:
        passed = value - _EPOCH
    except TypeError:
        raise ValueError(
            f"{value!r} has no time zone, so it is no moment; write "
            "value.replace(tzinfo=UTC) if it is in UTC, or tzinfo=ZoneInfo(...) if it is a local time"
        ) from None
    return (passed.days * 86_400 + passed.seconds) * _MICROSECONDS + passed.microseconds


def _outside(value: Any, unit: str) -> str:
    if not isfinite(value):
        return f"{value!r} is not a moment; reject such rows before event_time, or repair them"
    return f"{value!r} in {unit} since 1970 is outside of the years 1 to 9999; is its unit another one? Write unit=..."


def shown_moment(at: int) -> str:
    """A moment as messages show it: `2026-03-01T12:00:00.000250Z`."""
    if at == NO_WATERMARK:
        return "none yet"
    if at == END_OF_TIME:
        return "the end"
    if not FIRST_MOMENT <= at <= LAST_MOMENT:
        return f"{at} us since 1970"
    return (_EPOCH + at * _MICROSECOND).replace(tzinfo=None).isoformat() + "Z"
