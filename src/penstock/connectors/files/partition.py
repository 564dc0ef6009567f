"""Which folder a row's file stands in: by fields, or by a time. As `hive` names them, so that readers know the columns.

`country=CH/`, `date=2026-11-29/hour=13/` (in UTC). Pure.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import quote

from penstock.event_time import Unit, moments

Every: TypeAlias = Literal["day", "hour"]
_NAME_BYTES: Final = 255
_NONE: Final = "__HIVE_DEFAULT_PARTITION__"
"""The folder of rows without a value."""
_SAFE: Final = " -_.,+@()"
_EPOCH: Final = datetime.datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class ByTime:
    """Folders by the day, or by day and hour, of a field."""

    field: str
    every: Every
    unit: Unit


PartitionBy: TypeAlias = str | Sequence[str] | ByTime


def by_time(field: str, every: Every = "day", *, unit: Unit = "s") -> ByTime:
    """For `partition_by=`: a folder for each day, or for each hour, of the time in a field, in UTC.

    The time is a `datetime` with a zone, or a number in `unit` since 1970.
    """
    return ByTime(field, every, unit)


def partition_problems(partition_by: Any) -> list[str]:
    """What is wrong with `partition_by`."""
    if isinstance(partition_by, ByTime):
        if partition_by.every not in get_args(Every):
            return [f'partition_by: every={partition_by.every!r} is unknown; it is "day" or "hour"']
        if partition_by.unit not in get_args(Unit):
            return [f"partition_by: unit={partition_by.unit!r} is unknown; it is one of {', '.join(get_args(Unit))}"]
        return []
    fields = (partition_by,) if isinstance(partition_by, str) else partition_by
    if isinstance(fields, Sequence) and fields and all(isinstance(field, str) and field for field in fields):
        return []
    remedy = 'write "country", ["country", "city"], or files.by_time("ts")'
    return [f"partition_by={partition_by!r} is not a field; {remedy}"]


def folder_of(partition_by: PartitionBy) -> Callable[[Any], str]:
    """What gives the folder of a row. It raises `ValueError`, `TypeError` or `LookupError` for a row that has none."""
    if isinstance(partition_by, ByTime):
        return _by_time(partition_by)
    fields = (partition_by,) if isinstance(partition_by, str) else tuple(partition_by)
    return lambda row: "/".join(_named(field, _text(_value(row, field), field)) for field in fields)


def _by_time(given: ByTime) -> Callable[[Any], str]:
    moment = moments(given.unit)

    def folder(row: Any) -> str:
        at = _EPOCH + datetime.timedelta(microseconds=moment(_value(row, given.field)))
        day = f"date={at.date().isoformat()}"
        return day if given.every == "day" else f"{day}/hour={at.hour:02}"

    return folder


def _value(row: Any, field: str) -> Any:
    try:
        return row[field] if isinstance(row, Mapping) else getattr(row, field)
    except (KeyError, AttributeError):
        raise LookupError(f"it has no field {field!r}, which says in which folder it belongs") from None


def _text(value: Any, field: str) -> str:
    if isinstance(value, enum.Enum):  # as in the row; its `str` is its name
        value = value.value
    if value is None or value == "":
        return _NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | datetime.date) and not isinstance(value, datetime.datetime):
        return quote(str(value), safe=_SAFE)
    raise TypeError(
        f"field {field!r} is a {type(value).__name__}, which names no folder; partition by text, whole numbers, dates, "
        "or by_time"
    )


def _named(field: str, text: str) -> str:
    name = f"{quote(field, safe=_SAFE)}={text}"
    if len(name) > _NAME_BYTES:
        raise ValueError(f"field {field!r} would give a folder whose name has {len(name)} bytes")
    return name
