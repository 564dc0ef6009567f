"""Does it grow? A series of samples, its thirds compared and a line through it that outliers do not move. Pure."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

WARM_UP = 0.05
"""This part of the samples, at the beginning, is left out."""
BINS = 120
"""So many medians stand for a series: the slope is that of the median pair of them."""


@dataclass(frozen=True)
class Point:
    """One sample."""

    at_s: float
    value: float
    life: int = 0
    """Samples of different lives (of one process and its successor) are not compared for the slope."""


@dataclass(frozen=True)
class Limit:
    """What counts as flat: this much more (for `falls`: less) from the first third to the last, whichever is more."""

    share: float
    amount: float = 0.0
    falls: bool = False

    def __str__(self) -> str:
        parts = [f"{self.share:.0%}"] if self.share else []
        parts += [f"{self.amount:g}"] if self.amount else []
        return ("-" if self.falls else "+") + " or ".join(parts)

    def exceeded(self, change: float, first: float) -> bool:
        return (-change if self.falls else change) > max(self.share * abs(first), self.amount)


NO_LIMIT = Limit(float("inf"))


@dataclass(frozen=True)
class Trend:
    """What became of a series."""

    first: float
    """Median of the first third."""
    last: float
    per_hour: float
    flat: bool


def trend(points: Sequence[Point], limit: Limit) -> Trend:
    """Flat: neither the thirds nor the line through all of it, over the length of the run, go beyond the limit."""
    points = points[int(len(points) * WARM_UP) :]
    third = max(len(points) // 3, 1)
    first = statistics.median(point.value for point in points[:third])
    last = statistics.median(point.value for point in points[-third:])
    per_s = slope(points)
    over_the_run = per_s * (points[-1].at_s - points[0].at_s)
    flat = not limit.exceeded(last - first, first) and not limit.exceeded(over_the_run, first)
    return Trend(first, last, per_s * 3600.0, flat)


def slope(points: Sequence[Point]) -> float:
    """Per second: the median of the slopes between all pairs within one life (Theil and Sen)."""
    lives = defaultdict(list)
    for middle in _middles(points):
        lives[middle.life].append(middle)
    slopes = [
        (b.value - a.value) / (b.at_s - a.at_s)
        for life in lives.values() for a, b in combinations(life, 2) if b.at_s > a.at_s
    ]
    return statistics.median(slopes) if slopes else 0.0


def _middles(points: Sequence[Point]) -> list[Point]:
    """Medians of neighbours of the same life."""
    size = max(len(points) // BINS, 1)
    bins: list[list[Point]] = []
    for point in points:
        if bins and len(bins[-1]) < size and bins[-1][0].life == point.life:
            bins[-1].append(point)
        else:
            bins.append([point])
    return [
        Point(
            statistics.fmean(p.at_s for p in found), statistics.median(p.value for p in found), found[0].life
        )
        for found in bins
    ]
