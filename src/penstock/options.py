"""Options of stages and edges: checked, frozen values, and the one text form of durations, sizes and rates."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, TypeAlias, TypedDict

import msgspec

Duration: TypeAlias = str | timedelta | float
"""Text with a unit, a `timedelta`, or a number of seconds (`int` or `float`)."""
Size: TypeAlias = str | int
"""Text with a unit, or a number of bytes."""
Rate: TypeAlias = str
Route: TypeAlias = Literal["auto", "forward", "balance"]

KIB = 1024
MIB = 1024 * KIB

_DURATION_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {
    "B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": KIB, "MiB": MIB, "GiB": 1024**3, "TiB": 1024**4,
}
_DURATIONS = 'one like "2s", "500ms", "30m", or a number of seconds'
_SIZES = 'one like "64 MiB", "1 GB", or a number of bytes'
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)\s*")


def parse_duration(value: Duration) -> float:
    """Return the seconds of `"2s"`, `"500ms"`, a `timedelta`, or a number (seconds, as everywhere in Python).

    Text without a unit is a number, too, because settings are text. Raises `ValueError` that says what to write.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else _number(value, _DURATION_UNITS, "s")
    if seconds is None:
        raise ValueError(f"{value!r} is not a duration; write {_DURATIONS}")
    if not 0 <= seconds < math.inf:  # no number is neither
        raise ValueError(f"{value!r} is not a duration: it must be finite and not negative; write {_DURATIONS}")
    return float(seconds)


def parse_size(value: Size) -> int:
    """Return the bytes of `"64 MiB"`, `"512KiB"`, or a whole number of bytes.

    Text without a unit is a number, too, because settings are text. Raises `ValueError` that says what to write.
    """
    number = _number(value, _SIZE_UNITS, "B")
    if number is None:
        raise ValueError(f"{value!r} is not a size; write {_SIZES}")
    if not 0 <= number < math.inf:
        raise ValueError(f"{value!r} is not a size: it must be finite and not negative; write {_SIZES}")
    if number != int(number) and not (isinstance(value, str) and value.strip()[-1].isalpha()):
        raise ValueError(f"{value!r} is not a whole number of bytes; write {_SIZES}")
    return int(number)


def parse_rate(value: Rate) -> tuple[float, float]:
    """Return `(how many, per how many seconds)` of `"200/s"`, `"10/m"`. Raises `ValueError` that says what to write."""
    if not isinstance(value, str) or value.count("/") != 1:
        raise ValueError(f"{value!r} is not a rate; write one like \"200/s\", \"10/m\"")
    amount, _, per = value.partition("/")
    try:
        many = float(amount.strip().replace("_", ""))
        seconds = _DURATION_UNITS[per.strip()]
    except (ValueError, KeyError):
        raise ValueError(f"{value!r} is not a rate; write one like \"200/s\", \"10/m\"") from None
    if not 0 <= many < float("inf"):
        raise ValueError(f"{value!r} is not a rate; write one like \"200/s\", \"10/m\"")
    return many, seconds


def _number(value: object, units: Mapping[str, float], usual: str) -> float | None:
    """A number, or a text of a number and a unit, in the usual unit; None: it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    unit = units.get(found[2] or usual) if found is not None else None
    return None if found is None or unit is None else float(found[1]) * unit


class ErrorPolicy(msgspec.Struct, frozen=True):
    """What happens to a row whose last attempt failed. Made by `fail`, `skip` and `dead_letter`."""

    kind: Literal["fail", "skip", "dead_letter"]
    give_up_after: int | None = None
    """After this many errors, a stage in which no row has ever succeeded fails; None: never."""


def fail() -> ErrorPolicy:
    """End the run at the first row that fails."""
    return ErrorPolicy("fail")


def skip() -> ErrorPolicy:
    """Drop rows that fail, and count them."""
    return ErrorPolicy("skip")


def dead_letter(*, give_up_after: int | None = 100) -> ErrorPolicy:
    """Keep rows that fail in the dead-letter store, with their error.

    A stage in which no row has ever succeeded fails after `give_up_after` errors, or at the end of its input: then
    the code is wrong, not the data. With None it never fails for this reason.
    """
    return ErrorPolicy("dead_letter", give_up_after)


class FullPolicy(msgspec.Struct, frozen=True):
    """What a writer does when its queue is full. Made by `block`."""

    kind: Literal["block"]


def block() -> FullPolicy:
    """Wait until the reader has made room. This is the backpressure."""
    return FullPolicy("block")


Visible: TypeAlias = Literal["at once", "at checkpoint"]
"""When the rows of a sink become visible."""


class StateBackend(msgspec.Struct, frozen=True):
    """Where a stage keeps what it does not have in memory of its state by key. Made by `rocksdict`."""

    kind: Literal["memory", "rocksdict"]
    cache: Size = "64 MiB"
    """About so much of it is kept in the memory of each worker."""


def rocksdict(*, cache: Size = "64 MiB") -> StateBackend:
    """Keep state on disk, in a RocksDB for each worker, and about `cache` of it in memory.

    For state that is larger than memory; needs `penstock[rocksdict]`. It takes longer for each row. Open windows stay
    in memory, and so do the times at which keys are to be forgotten or timers fire. The run directory is on disk then,
    unless another one is named.
    """
    return StateBackend("rocksdict", cache)


ROW_OUTPUT_MAX = "1 GiB"
"""The default limit of what a `flat_map` function may return for one row."""
BATCH_ROWS = 8192
"""The default limit of rows that travel together."""


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """How rows travel from one stage to the next. Given where the edge ends."""

    memory: Size = "8 MiB"
    """How much the edge may hold, in all its queues together, before its writers wait."""
    when_full: FullPolicy = msgspec.field(default_factory=block)
    route: Route = "auto"
    """`"auto"`: by hash after `key_by`, else to the worker with the most room; `"forward"`: slot i to slot i."""
    batch_rows: int = BATCH_ROWS
    """The most rows in one frame; also limits what a batch function receives."""
    linger: Duration = "5ms"
    """How long a writer collects rows while its reader is busy."""


class StageOptions(TypedDict, total=False):
    """Options of `.stage(...)`, `source(...)` and `.sink(...)`; `docs/concepts.md` describes each of them."""

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
    row_output_max: Size
    state: StateBackend
