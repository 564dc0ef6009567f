"""When generated rows are due: profiles as the user wrote them, and the pure arithmetic behind `load.py`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from penstock.options import Duration, Rate, parse_duration, parse_rate

V = TypeVar("V")
_SLACK_ROWS = 1e-6
"""A row counts as due this much early, so that rounding of the time at which it is due cannot postpone it."""


class Profile(ABC):
    """How many rows at what time, as the user wrote it. Made by `steady` and `bursts`; checked with the pipeline."""

    @abstractmethod
    def problems(self) -> Sequence[str]:
        """What is wrong with it, in words."""

    @abstractmethod
    def schedule(self) -> Schedule:
        """The numbers. Raises `ValueError` where there are `problems`."""


def steady(rate: Rate) -> Profile:
    """Return a constant rate: `steady("5000/s")`."""
    return _Steady(rate)


def bursts(rate: Rate, *, burst: Rate, every: Duration, lasting: Duration) -> Profile:
    """Return `rate` with bursts: each span of `every` ends with a burst at the rate `burst` that lasts `lasting`."""
    return _Bursts(rate, burst, every, lasting)


@dataclass(frozen=True, slots=True)
class _Steady(Profile):
    rate: Rate

    def problems(self) -> Sequence[str]:
        found: list[str] = []
        _rate(self.rate, "rate", found)
        return found

    def schedule(self) -> Schedule:
        per_s = _per_s(self.rate)
        return Schedule(per_s, per_s, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Bursts(Profile):
    rate: Rate
    burst: Rate
    every: Duration
    lasting: Duration

    def problems(self) -> Sequence[str]:
        found: list[str] = []
        _rate(self.rate, "rate", found)
        _rate(self.burst, "burst", found)
        every = _parsed(parse_duration, self.every, "every", found)
        lasting = _parsed(parse_duration, self.lasting, "lasting", found)
        if every is not None and lasting is not None and not 0 < lasting <= every:
            found.append(f"a burst lasting {self.lasting!r} every {self.every!r} is not possible; shorten it")
        return found

    def schedule(self) -> Schedule:
        every_s, lasting_s = parse_duration(self.every), parse_duration(self.lasting)
        return Schedule(_per_s(self.rate), _per_s(self.burst), every_s, lasting_s)


def _per_s(rate: Rate) -> float:
    many, seconds = parse_rate(rate)
    return many / seconds


def _rate(rate: Rate, name: str, found: list[str]) -> None:
    per_s = _parsed(_per_s, rate, name, found)
    if per_s == 0:
        found.append(f"{name}={rate!r} never gives a row; give a rate above 0")


def _parsed(parse: Callable[[V], float], value: V, name: str, found: list[str]) -> float | None:
    try:
        return parse(value)
    except (ValueError, TypeError) as exc:
        found.append(f"{name}: {exc}")
        return None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rows due since the start, as a function of time and back. Each span is calm first, then a burst."""

    calm_per_s: float
    burst_per_s: float
    span_s: float
    burst_s: float

    @property
    def _calm_s(self) -> float:
        return self.span_s - self.burst_s

    @property
    def _span_rows(self) -> float:
        return self.calm_per_s * self._calm_s + self.burst_per_s * self.burst_s

    def rows_due(self, elapsed_s: float) -> int:
        """Rows that are due `elapsed_s` after the start; none before it."""
        if elapsed_s <= 0:
            return 0
        spans, rest_s = divmod(elapsed_s, self.span_s)
        rows = self.calm_per_s * min(rest_s, self._calm_s) + self.burst_per_s * max(rest_s - self._calm_s, 0.0)
        return math.floor(spans * self._span_rows + rows + _SLACK_ROWS)

    def due_at(self, rows: int) -> float:
        """Seconds after the start at which the `rows`-th row (from 1) is due."""
        spans, rest = divmod(rows, self._span_rows)
        calm_rows = self.calm_per_s * self._calm_s
        rest_s = rest / self.calm_per_s if rest <= calm_rows else self._calm_s + (rest - calm_rows) / self.burst_per_s
        return spans * self.span_s + rest_s


@dataclass(frozen=True, slots=True)
class Share:
    """The rows of one worker: `first`, `first + stride`, ... below `rows`; none where `first` is no worker's number."""

    first: int
    stride: int
    rows: int | None

    def index(self, done: int) -> int:
        """The number, among all rows, of the one that follows after `done` of this share."""
        return self.first + done * self.stride

    def due(self, total_due: int) -> int:
        """How many of this share are among the first `total_due` of all rows."""
        if self.first >= self.stride:
            return 0
        limit = total_due if self.rows is None else min(total_due, self.rows)
        return max(0, (limit - self.first + self.stride - 1) // self.stride)

    def exhausted(self, done: int) -> bool:
        """True when none follows after `done`."""
        return self.first >= self.stride or (self.rows is not None and self.index(done) >= self.rows)
