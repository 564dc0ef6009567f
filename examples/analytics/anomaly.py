"""Scores a sensor's readings online: 0 usual, towards 1 never seen. Each score uses that reading and earlier ones only.

Three views of a reading, each a number that is large when the reading is odd:

- its distance from what is usual at this hour of the day (`HourOfDay`);
- its step from the reading before (`Level` over the steps);
- how seldom a value like it has come (`Novelty`).

Every view is averaged over a few readings and compared with its own past (`Surprise`), so that three views of any
sensor are on one scale and a sensor that is always restless does not cry all day. What sticks out is told once: a
score is what exceeds the last one, which fades over some hundred readings (`Echo`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import floor, log2, sqrt

from analytics.events import Reading

_WARM_READINGS = 300
"""From these the novelty's scale is taken; it says nothing before."""
_FAR = 1000.0
"""Standard deviations; whatever is further counts as much, since a series that stood still has next to none."""
_WEIGHTS = (1.0, 0.5, 0.7)
"""Of the three views, in the order above."""


class Level:
    """Mean and variance that forget exponentially, plain averages at first."""

    def __init__(self, learns: float) -> None:
        self.learns = learns
        self.count = 0
        self.mean = 0.0
        self.variance = 0.0

    def distance(self, value: float) -> float:
        """Standard deviations from the mean so far; then learns the value."""
        away = value - self.mean if self.count else 0.0
        known = sqrt(self.variance)
        self.learn(value)
        return min(abs(away) / known, _FAR) if known > 0 else (10.0 if away else 0.0)

    def learn(self, value: float) -> None:
        """One more value."""
        self.count += 1
        share = max(self.learns, 1 / self.count)
        away = value - self.mean
        self.mean += share * away
        self.variance = (1 - share) * (self.variance + share * away * away)


class HourOfDay:
    """Distance of a value from what is usual at this hour, in that hour's standard deviations."""

    _LEARNS = 0.02

    def __init__(self) -> None:
        self.all = Level(0.002)
        self.hours: dict[int, tuple[float, float]] = {}

    def distance(self, value: float, hour: int) -> float:
        """Standard deviations; then learns the value."""
        self.all.learn(value)
        mean, variance = self.hours.get(hour, (value, self.all.variance))
        away = value - mean
        # An hour that was always the same still has some of the whole series' spread.
        spread = sqrt(max(variance, 0.02 * self.all.variance))
        learns = self._LEARNS
        self.hours[hour] = mean + learns * away, (1 - learns) * (variance + learns * away * away)
        return min(abs(away) / spread, _FAR) if spread > 0 else 0.0


class Novelty:
    """Bits of surprise at a value's bin, neighbours counted half."""

    _BINS = 8

    def __init__(self) -> None:
        self.first: list[float] = []
        self.low = 0.0
        self.width = 0.0
        self.total = 0
        self.counts: defaultdict[int, float] = defaultdict(float)

    def bits(self, value: float) -> float:
        """How seldom; then counts the value."""
        if not self.width:
            self.first.append(value)
            if len(self.first) == _WARM_READINGS:
                self._scale()
            return 0.0
        return self._count(value)

    def _scale(self) -> None:
        ordered = sorted(self.first)
        usual = ordered[int(0.95 * len(ordered))] - ordered[int(0.05 * len(ordered))]
        self.low = ordered[0]
        self.width = (usual or (ordered[-1] - ordered[0]) or abs(ordered[-1]) or 1.0) / self._BINS
        for value in self.first:
            self._count(value)

    def _count(self, value: float) -> float:
        bin = floor((value - self.low) / self.width)
        self.total += 1
        bits = log2((self.total + 1) / (self.counts[bin] + 1))
        for near, weight in ((bin - 1, 0.5), (bin, 1.0), (bin + 1, 0.5)):
            self.counts[near] += weight
        return bits


class Surprise:
    """A view's short average, in standard deviations from its long one."""

    def __init__(self, over: int) -> None:
        self.short = 0.0
        self.short_learns = 2 / (over + 1)
        self.long = Level(1 / 2000)

    def of(self, oddness: float) -> float:
        """Positive: odder than usual."""
        self.short += self.short_learns * (oddness - self.short)
        known = sqrt(self.long.variance)
        away = self.short - self.long.mean
        self.long.learn(self.short)
        return min(away / known, _FAR) if known > 0 else 0.0


class Echo:
    """What exceeds the last alarm, which fades."""

    _FADES = 0.997

    def __init__(self) -> None:
        self.last = 0.0

    def beyond(self, score: float) -> float:
        """0 for what was said already."""
        new = max(0.0, score - self.last)
        self.last = max(self.last * self._FADES, score)
        return new


class Detector:
    """The anomaly score of one sensor."""

    def __init__(self) -> None:
        self.before: float | None = None
        self.hour = HourOfDay()
        self.step = Level(0.005)
        self.novelty = Novelty()
        self.surprises = (Surprise(3), Surprise(10), Surprise(10))
        self.echo = Echo()

    def score(self, value: float, hour: int) -> float:
        """Takes the next reading; 0 to 1."""
        step = 0.0 if self.before is None else value - self.before
        self.before = value
        views = self.hour.distance(value, hour), self.step.distance(step), self.novelty.bits(value)
        odd = sum(w * surprise.of(view) for w, surprise, view in zip(_WEIGHTS, self.surprises, views, strict=True))
        new = self.echo.beyond(odd)
        return new / (new + 10.0)


def score_readings(readings: Sequence[Reading]) -> None:
    """Fills the scores in place; readings in the order of the series."""
    detectors: defaultdict[str, Detector] = defaultdict(Detector)
    for reading in readings:
        reading.anomaly = detectors[reading.key].score(reading.value, int(reading.ts // 3600) % 24)


def scores(values: Sequence[float], hours: Sequence[int]) -> Iterator[float]:
    """The scores of a whole series."""
    detector = Detector()
    return (detector.score(value, hour) for value, hour in zip(values, hours, strict=True))
