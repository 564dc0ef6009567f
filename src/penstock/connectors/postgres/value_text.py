"""One value as the text that a column's type is read from; a value that would change there is refused. Pure.

`column_text.py` does the same for a whole column at a time.
"""

from __future__ import annotations

import datetime
import enum
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

import msgspec

from penstock.connectors.postgres.schema import INTEGERS, Column

_SHOWN = 100
_TEXTS = (str, int, float, Decimal, UUID, datetime.date, datetime.time, IPv4Address, IPv4Interface, IPv4Network,
          IPv6Address, IPv6Interface, IPv6Network)


class Misfit(ValueError):
    """A value that a column cannot hold as it is."""


def text_of(value: Any, column: Column) -> str:
    """The text of a value that is not None. Raises `Misfit`, whose message names column and value."""
    value = plain(value)
    try:
        if column.array:
            return _array(value, _element_writer(column))
        return _writer(column)(value, column)
    except Misfit as exc:
        says = f" ({exc})" if str(exc) else ""
        raise Misfit(f"column {column.name!r} is {column.type} and cannot hold {shown(value)}{says}") from None


def plain(value: Any) -> Any:
    """What an enum's member and a scalar of numpy stand for."""
    while isinstance(value, enum.Enum):
        value = value.value
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value


def shown(value: Any) -> str:
    text = repr(value).partition("\n")[0]
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _bool(value: Any, column: Column) -> str:
    if value is True or value is False or (isinstance(value, int) and value in (0, 1)):
        return "t" if value else "f"
    raise Misfit


def _integer(value: Any, column: Column) -> str:
    if isinstance(value, str):
        try:
            whole = int(value)
        except ValueError:
            raise Misfit from None
    elif isinstance(value, int) or (isinstance(value, (float, Decimal)) and _is_finite(value) and value == int(value)):
        whole = int(value)
    else:
        raise Misfit
    most = 1 << (INTEGERS[column.base] - 1)
    if not -most <= whole < most:
        raise Misfit("it is out of range")
    return str(whole)


def _is_finite(value: float | Decimal) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _float(value: Any, column: Column) -> str:
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, (int, Decimal, str)):
        try:
            near = float(value)
        except (ValueError, OverflowError):
            raise Misfit from None
        if isinstance(value, str) or near == value or (near != near and Decimal(value).is_qnan()):
            return repr(near)
        raise Misfit("digits would be lost")
    raise Misfit


def _numeric(value: Any, column: Column) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        raise Misfit
    try:
        number = Decimal(repr(float(value)) if isinstance(value, float) else value)
    except ArithmeticError:
        raise Misfit from None
    if number.is_snan():
        raise Misfit
    if number.is_nan():
        return "NaN"
    if column.scale is not None and number.is_finite() and _digits_behind(number) > column.scale:
        raise Misfit("digits would be lost")
    return str(number)


def _digits_behind(number: Decimal) -> int:
    """Behind the point, without zeros at the end; less than 0 for round numbers."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return -1000 if number.is_zero() else -(exponent + zeros)


def _text(value: Any, column: Column) -> str:
    if isinstance(value, str):
        text = str(value)
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, _TEXTS):
        text = str(value)
    else:
        raise Misfit
    if column.length is not None and len(text) > column.length:
        raise Misfit(f"it has {len(text)} characters")
    return text


def _bytes(value: Any, column: Column) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    raise Misfit


def _date(value: Any, column: Column) -> str:
    value = _from_iso(value, datetime.datetime)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None or value.time() != datetime.time():
            raise Misfit("the time of day would be lost")
        value = value.date()
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise Misfit


def _timestamp(value: Any, column: Column) -> str:
    """In UTC, where it has a zone."""
    value = _moment(value, column)
    if value.tzinfo is not None:
        try:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        except (OverflowError, ValueError):
            raise Misfit("in UTC it is out of range") from None
    return str(value.isoformat(" "))


def _timestamptz(value: Any, column: Column) -> str:
    """Taken for UTC, where it has no zone."""
    value = _moment(value, column)
    return str(value.isoformat(" ")) if value.tzinfo is not None else value.isoformat(" ") + "+00"


def _moment(value: Any, column: Column) -> datetime.datetime:
    value = _from_iso(value, datetime.datetime)
    if isinstance(value, datetime.datetime):
        _keep_microseconds(value.microsecond, column)
        if getattr(value, "nanosecond", 0):  # of pandas, and so of Arrow
            raise Misfit("its nanoseconds would be lost")
        return value
    if isinstance(value, datetime.date):
        return datetime.datetime.combine(value, datetime.time())
    raise Misfit


def _time(value: Any, column: Column) -> str:
    value = _from_iso(value, datetime.time)
    if not isinstance(value, datetime.time):
        raise Misfit
    if column.base == "time" and value.tzinfo is not None:
        raise Misfit("its zone would be lost")
    if column.base == "timetz" and value.utcoffset() is None:
        raise Misfit("it has no zone, or none without a date")
    _keep_microseconds(value.microsecond, column)
    return value.isoformat()


def _keep_microseconds(microseconds: int, column: Column) -> None:
    if microseconds % 10 ** (6 - column.second_digits):
        raise Misfit("digits of its second would be lost")


def _from_iso(value: Any, kind: Any) -> Any:
    """Text is read here: the server would read it by its settings, and drop a zone."""
    if isinstance(value, str):
        try:
            return kind.fromisoformat(value)
        except ValueError:
            raise Misfit("it is not in ISO 8601") from None
    return value


def _interval(value: Any, column: Column) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime.timedelta):
        raise Misfit
    _keep_microseconds(value.microseconds, column)
    # A sign each: with `intervalstyle = sql_standard` one in front would count for all.
    return f"{value.days:+d} days {value.seconds:+d} seconds {value.microseconds:+d} microseconds"


def _uuid(value: Any, column: Column) -> str:
    try:
        return str(UUID(value) if isinstance(value, str) else UUID(bytes=value) if isinstance(value, bytes) else
                   _of_kind(value, UUID))
    except ValueError:
        raise Misfit from None


def _of_kind(value: Any, kind: type) -> Any:
    if isinstance(value, kind):
        return value
    raise Misfit


def _json(value: Any, column: Column) -> str:
    return json_text(value)


def json_text(value: Any) -> str:
    """A document of the value; `msgspec.Raw` is one already. Raises `Misfit`."""
    try:
        text = _JSON.encode(value)
        if b"null" in text:
            _require_finite(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        if isinstance(exc, Misfit):
            raise
        raise Misfit(str(exc)) from None
    return text.decode()


def _plain_inside(value: Any) -> Any:
    found = plain(value)
    if found is value:
        raise TypeError(f"a {type(value).__name__} is no JSON")
    return found


_JSON = msgspec.json.Encoder(enc_hook=_plain_inside)


def _require_finite(value: Any) -> None:
    waiting = [msgspec.to_builtins(value, enc_hook=_plain_inside, str_keys=True)]
    while waiting:
        found = waiting.pop()
        if isinstance(found, float) and not math.isfinite(found):
            raise Misfit(f"JSON has no {found}")
        if isinstance(found, Mapping):
            waiting += found.values()
        elif isinstance(found, (list, tuple)):
            waiting += found


def _array(values: Any, element: Callable[[Any], str]) -> str:
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise Misfit("it is no list")
    parts = []
    for value in values:
        value = plain(value)
        if value is None:
            parts.append("NULL")
        elif isinstance(value, (list, tuple)):
            parts.append(_array(value, element))
        else:
            text = element(value).replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'"{text}"')
    return "{" + ",".join(parts) + "}"


def _element_writer(column: Column) -> Callable[[Any], str]:
    writer = _writer(column)
    return lambda value: writer(value, column)


_WRITERS: Mapping[str, Callable[[Any, Column], str]] = {
    "bool": _bool, **dict.fromkeys(INTEGERS, _integer), "float4": _float, "float8": _float, "numeric": _numeric,
    "bytea": _bytes, "date": _date, "timestamp": _timestamp, "timestamptz": _timestamptz, "time": _time,
    "timetz": _time, "interval": _interval, "uuid": _uuid, "json": _json, "jsonb": _json,
}


def _writer(column: Column) -> Callable[[Any, Column], str]:
    """What is not known here (inet, an enumeration) is read by the server from text."""
    return _WRITERS.get(column.base, _text)
