"""Scores an anomaly detector by the rules of the Numenta Anomaly Benchmark; used by tests and for tuning, not in a run.

A detection inside a labelled window earns up to 1 (the earlier the better, once per window); one outside costs, the
more the further it is from the last window. 0 is a detector that says nothing, 100 a perfect one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp
from typing import TypeAlias


@dataclass(frozen=True)
class Profile:
    """What a detection earns and costs."""

    hit: float
    false: float
    miss: float


STANDARD = Profile(1.0, 0.11, 1.0)
LOW_FALSE = Profile(1.0, 0.22, 1.0)
LOW_MISSED = Profile(1.0, 0.11, 2.0)
PROFILES = (STANDARD, LOW_FALSE, LOW_MISSED)


@dataclass(frozen=True)
class Labelled:
    """A series' scores and where its anomalies are."""

    scores: Sequence[float]
    windows: Sequence[tuple[int, int]]
    """First and last row of each anomaly, both included, in order."""

    @property
    def probation(self) -> int:
        """Rows at the start that count for nothing."""
        return min(int(0.15 * len(self.scores)), 750)


def windows_of(stamps: Sequence[str], labels: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
    """Rows of labelled time windows; of equal stamps the first row counts."""
    rows: dict[str, int] = {}
    for row, stamp in enumerate(stamps):
        rows.setdefault(stamp, row)
    return [(rows[first.partition(".")[0]], rows[last.partition(".")[0]]) for first, last in labels]


def nab_score(series: Sequence[Labelled], profile: Profile) -> float:
    """The score at the threshold that suits the whole set best, 100 at most."""
    steps: list[Worth] = []
    windows = 0
    scored_windows = 0
    for number, one in enumerate(series):
        windows += len(one.windows)
        scored_windows += sum(last >= one.probation for _, last in one.windows)
        steps += worths(number, one, profile)
    best = score = -profile.miss * scored_windows
    null = best
    hits: dict[tuple[int, int], float] = {}
    steps.sort(key=lambda step: -step[0])
    for _, equal in groupby(steps, key=lambda step: step[0]):
        for _, worth, window in equal:
            if window is None:
                score += worth
            elif worth > hits.get(window, -profile.miss):
                score += worth - hits.get(window, -profile.miss)
                hits[window] = worth
        best = max(best, score)
    perfect = profile.hit * windows
    return 100 * (best - null) / (perfect - null)


Worth: TypeAlias = tuple[float, float, tuple[int, int] | None]
"""A row's score, what a detection there is worth, and the window that it is in."""


def worths(number: int, one: Labelled, profile: Profile) -> Iterable[Worth]:
    """Of each row after probation; `number` is the series'."""
    window = -1  # the last one that began
    for row, score in enumerate(one.scores):
        while window + 1 < len(one.windows) and one.windows[window + 1][0] <= row:
            window += 1
        if row < one.probation:
            continue
        if window < 0:
            yield score, -profile.false, None
            continue
        first, last = one.windows[window]
        width = last - first + 1
        if row <= last:
            yield score, _sigma(-(last - row + 1) / width) / _sigma(-1.0) * profile.hit, (number, window)
        else:
            yield score, _sigma((row - last) / (width - 1)) * profile.false, None


def _sigma(y: float) -> float:
    return -1.0 if y > 3 else 2 / (1 + exp(5 * y)) - 1
