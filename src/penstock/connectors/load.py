"""Generated rows on a schedule, to try out and measure a pipeline; `load_schedule.py` says when they are due.

The load is open-loop: rows fall due by the clock, whether the pipeline keeps up or not. Rows that are late are given
as soon as there is room, as fast as the pipeline takes them. So a slow pipeline shows a growing backlog, instead of a
rate that quietly drops.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.connectors.load_schedule import Profile, Schedule, Share, bursts, steady
from penstock.ctrl_c import is_ctrl_c
from penstock.operator import Context
from penstock.source import EndOfSplit, Position, Reader, Source

T = TypeVar("T")

__all__ = ["GenerateSource", "Profile", "bursts", "generate", "steady", "zipf"]

MAX_WORKERS = 16
"""This many workers share the rows of one source; more have nothing to do."""
OWED_AFTER_ABSENCE_S = 10.0
"""A successor owes what fell due while nobody was there, but never more than this: a run taken over next morning
continues at its rate instead of making up for the night."""
_BATCH_ROWS = 1024
_BATCH_S = 0.02
_ROWS_BETWEEN_LOOKS = 32
_SHORTEST_WAIT_S = 0.001
_LONGEST_WAIT_S = 0.05


def generate(
    make: Callable[[int, Random], T], profile: Profile, *, rows: int | None = None, seed: int = 0
) -> Source[T]:
    """Generate the rows `make(0, rng)`, `make(1, rng)`, ... when `profile` says. Never ends without `rows`.

    `rng` is seeded with `seed` and the row's number, so that a row is the same whenever and wherever it is made. It is
    valid only during the call. Several workers share the rows; the rate is that of all workers together.
    """
    return GenerateSource(make, profile, rows, seed)


def zipf(rng: Random, n: int, *, exponent: float = 1.1) -> int:
    """Draw a number from 0 to n - 1, small ones more often: k with a share proportional to 1 / (k + 1) ** exponent.

    Constant time and no tables (rejection-inversion after Hörmann and Derflinger).
    """
    if n < 1 or exponent < 0:
        raise ValueError(f"zipf needs n of at least 1 and no negative exponent, not n={n}, exponent={exponent}")
    low = _zipf_integral(1.5, exponent) - 1.0
    high = _zipf_integral(n + 0.5, exponent)
    while True:
        u = high + rng.random() * (low - high)
        x = _zipf_inverse(u, exponent)
        k = min(max(int(x + 0.5), 1), n)
        if u >= _zipf_integral(k + 0.5, exponent) - k**-exponent:
            return k - 1


def _zipf_integral(x: float, exponent: float) -> float:
    if exponent == 1.0:
        return math.log(x)
    return math.expm1((1.0 - exponent) * math.log(x)) / (1.0 - exponent)


def _zipf_inverse(u: float, exponent: float) -> float:
    if exponent == 1.0:
        return math.exp(u)
    return math.exp(math.log1p(u * (1.0 - exponent)) / (1.0 - exponent))


class GenerateSource(Source[T]):
    """What `generate` returns: a fixed number of splits, of which as many have rows as there are workers."""

    def __init__(self, make: Callable[[int, Random], T], profile: Profile, rows: int | None, seed: int) -> None:
        if not callable(make):
            raise TypeError(f"generate takes a function make(i, rng), not {type(make).__name__}")
        if not isinstance(profile, Profile):
            raise TypeError(f"generate takes a profile, load.steady(...) or load.bursts(...), not {profile!r}")
        self._make = make
        self._profile = profile
        self._rows = rows
        self._seed = seed

    @property
    def label(self) -> str:
        return "generate"

    @property
    def bounded(self) -> bool:
        return self._rows is not None

    @property
    def row_type(self) -> Any:
        try:
            return typing.get_type_hints(self._make).get("return", Any)
        except (NameError, TypeError, AttributeError):  # a name that cannot be resolved; a callable without annotations
            return Any

    def check_source(self) -> Sequence[str]:
        found = list(self._profile.problems())
        if self._rows is not None and self._rows < 0:
            found.append(f"rows={self._rows} is negative; give the number of rows, or None for no end")
        return found

    def splits(self) -> Mapping[str, Any]:
        return {f"{index:02}": index for index in range(MAX_WORKERS)}

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[T]:
        stride = min(context.workers, MAX_WORKERS) if position is None else int(position[2])
        share = Share(first=int(split), stride=stride, rows=self._rows)
        return GenerateReader(self._make, self._profile.schedule(), share, self._seed, position)


class GenerateReader(Reader[T]):
    """Gives the rows of one share as they fall due."""

    def __init__(
        self, make: Callable[[int, Random], T], schedule: Schedule, share: Share, seed: int, position: Position | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._make = make
        self._schedule = schedule
        self._share = share
        self._seed = (seed & 0xFFFF_FFFF_FFFF_FFFF) << 64
        self._random = Random()
        self._clock = clock
        self._done = 0 if position is None else int(position[0])
        """Rows of this share that were given."""
        now = clock.wall()
        self._start_wall = now if position is None else self._resumed_start(float(position[1]), now)
        # The wall clock agrees on the start over lives; within one life only the monotonic clock is trusted.
        self._start = clock.monotonic() - (now - self._start_wall)

    def _resumed_start(self, start: float, now: float) -> float:
        behind_s = now - start - self._schedule.due_at(self._share.index(self._done) + 1)
        return start + behind_s - min(max(behind_s, 0.0), OWED_AFTER_ABSENCE_S)

    def read(self) -> list[T] | None:
        if self._share.exhausted(self._done):
            raise EndOfSplit
        elapsed_s = self._clock.monotonic() - self._start
        due = self._share.due(self._schedule.rows_due(elapsed_s)) - self._done
        if due <= 0:
            next_s = self._schedule.due_at(self._share.index(self._done) + 1) - elapsed_s
            self.poll_after = _as_duration(min(max(next_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S))
            return None
        return self._make_rows(min(due, _BATCH_ROWS))

    def _make_rows(self, count: int) -> list[T]:
        rows: list[T] = []
        until = self._clock.monotonic() + _BATCH_S
        while len(rows) < count:
            for _ in range(min(_ROWS_BETWEEN_LOOKS, count - len(rows))):
                rows.append(self._make_row(self._share.index(self._done)))
                self._done += 1
            if self._clock.monotonic() >= until:
                break
        return rows

    def _make_row(self, index: int) -> T:
        self._random.seed(self._seed | index)
        try:
            return self._make(index, self._random)
        except BaseException as exc:
            if is_ctrl_c(exc):
                raise
            exc.add_note(f"while making row {index} of load.generate")
            raise

    def position(self) -> Position:
        return [self._done, self._start_wall, self._share.stride]


def _as_duration(seconds: float) -> str:
    return f"{seconds * 1e6:.0f}us"
