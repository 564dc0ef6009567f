"""Options of stages and edges: checked, frozen values, and the one text form of durations, sizes and rates."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypeAlias, TypedDict

Duration: TypeAlias = str | timedelta
Size: TypeAlias = str
Rate: TypeAlias = str
Route: TypeAlias = Literal["auto", "forward", "balance"]

KIB = 1024
MIB = 1024 * KIB

_DURATION_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {
    "B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": KIB, "MiB": MIB, "GiB": 1024**3, "TiB": 1024**4,
}
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)\s*")


def parse_duration(value: Duration) -> float:
    """Seconds of `"2s"`, `"500ms"`, `"30m"` or a `timedelta`. Raises `ValueError` that says what to write."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        if seconds < 0:
            raise ValueError(f"a duration is not negative: {value!r}")
        return seconds
    number, unit = _number_and_unit(value, "duration", '"2s", "500ms", "30m"')
    if unit not in _DURATION_UNITS:
        raise ValueError(f"{value!r} is no duration; write one like \"2s\", \"500ms\", \"30m\"")
    return number * _DURATION_UNITS[unit]


def parse_size(value: Size) -> int:
    """Bytes of `"64 MiB"`, `"512KiB"`, `"1 GB"`. Raises `ValueError` that says what to write."""
    number, unit = _number_and_unit(value, "size", '"64 MiB", "1 GB"')
    if unit not in _SIZE_UNITS:
        raise ValueError(f"{value!r} is no size; write one like \"64 MiB\", \"1 GB\"")
    return int(number * _SIZE_UNITS[unit])


def parse_rate(value: Rate) -> tuple[float, float]:
    """`(how many, per how many seconds)` of `"200/s"`, `"10/m"`. Raises `ValueError` that says what to write."""
    if not isinstance(value, str) or value.count("/") != 1:
        raise ValueError(f"{value!r} is no rate; write one like \"200/s\", \"10/m\"")
    amount, _, per = value.partition("/")
    try:
        many = float(amount.strip().replace("_", ""))
        seconds = _DURATION_UNITS[per.strip()]
    except (ValueError, KeyError):
        raise ValueError(f"{value!r} is no rate; write one like \"200/s\", \"10/m\"") from None
    if not 0 <= many < float("inf"):
        raise ValueError(f"{value!r} is no rate; write one like \"200/s\", \"10/m\"")
    return many, seconds


def _number_and_unit(value: object, kind: str, examples: str) -> tuple[float, str]:
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no {kind}; write one like {examples}")
    return float(found[1]), found[2]


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """What becomes of a row that failed its last attempt. Made by `fail`, `skip` and `dead_letter`."""

    kind: Literal["fail", "skip", "dead_letter"]
    give_up_after: int | None = None
    """Errors after which a stage in which no row ever succeeded fails; None: never."""


def fail() -> ErrorPolicy:
    """The first row that fails ends the run."""
    return ErrorPolicy("fail")


def skip() -> ErrorPolicy:
    """Rows that fail are dropped and counted."""
    return ErrorPolicy("skip")


def dead_letter(*, give_up_after: int | None = 100) -> ErrorPolicy:
    """Rows that fail are kept in the dead-letter store, with their error.

    A stage in which no row has ever succeeded fails after `give_up_after` errors, or at the end of its input: then
    the code is wrong, not the data. None: never.
    """
    return ErrorPolicy("dead_letter", give_up_after)


@dataclass(frozen=True, slots=True)
class FullPolicy:
    """What a writer does when its queue is full. Made by `block`."""

    kind: Literal["block"]


def block() -> FullPolicy:
    """Wait until the reader has made room: the backpressure."""
    return FullPolicy("block")


BATCH_ROWS = 8192
"""Rows that travel together at most, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """How rows travel from one stage to the next; written where the edge ends."""

    memory: Size = "8 MiB"
    """Backlog that the edge may hold, over all its queues, before its writers wait."""
    when_full: FullPolicy = field(default_factory=block)
    route: Route = "auto"
    """`"auto"`: by hash after `key_by`, else to the worker with most room; `"forward"`: slot i to slot i."""
    batch_rows: int = BATCH_ROWS
    """Rows of one frame at most; bounds what a batch function is given, too."""
    linger: Duration = "5ms"
    """How long a writer collects rows while its reader is busy."""


class StageOptions(TypedDict, total=False):
    """What `.stage(...)`, `source(...)` and `.sink(...)` take; `api.md` section 3 tells each meaning."""

    workers: int | tuple[int, int]
    ordered: bool
    concurrency: int
    on_error: ErrorPolicy
    retries: int
    retry_delay: Duration
    retry_delay_max: Duration
    retry_on: type[Exception] | tuple[type[Exception], ...]
    timeout: Duration | None
    max_restarts: Rate
    unavailable_for: Duration
