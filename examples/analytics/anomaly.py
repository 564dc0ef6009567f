"""Scores a sensor's readings online: 0 usual, towards 1 never seen. Each score uses that reading and earlier ones only.

Three views of a reading, each a number that is large when the reading is odd:

- its distance from what is usual at this hour of the day (`HourOfDay`);
- how far it is beyond everything that came before (`Range`);
- how seldom a value like it has come (`Novelty`).

Distances of different sensors, and of different views, cannot be compared; how seldom something comes can. So each
view is told in bits (`Recurrence`): a reading so odd that one in 1,024 of those before was as odd has 10 bits. What is
rare in several views counts more than their sum (`Constants.sharpens`). What sticks out is told once: a score is what
exceeds the last one, which fades over some hundred readings (`Echo`).

`select_anomaly.py` chose the constants by cross-validation; the README says with what result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, frexp, log2, sqrt

from analytics.events import Reading

_WARM_READINGS = 300
"""From these the novelty's scale is taken; it says nothing before."""
_FAR = 1000.0
"""Standard deviations; whatever is further counts as much, since a series that stood still has next to none."""
_HALF = 3000.0
"""What has the score 0.5: above the last alarm by this, which is 14 bits from nothing (`Constants.sharpens`)."""
_LARGEST = 1e100
"""A reading beyond it counts as this one: its square is still a number."""


@dataclass(frozen=True)
class Constants:
    """What was chosen."""

    weights: tuple[float, float, float] = (1.0, 1.0, 0.0)
    """Of the three views, in the order above. Cross-validation gave novelty none: then it is not computed."""
    sharpens: float = 3.0
    """The power that the sum is raised to: one rare reading weighs more than many uncommon ones."""
    shortens: float = 0.0
    """How far bits are measured against the most that a history so short can tell: 0 not at all, 1 wholly."""
    fades: float = 0.995
    """What is left of an alarm after a reading."""


CHOSEN = Constants()


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


class Range:
    """How far a value is outside of all earlier ones, in widths of their range."""

    _MOST = 3.0

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.any = False

    def beyond(self, value: float) -> float:
        """0 within; then the range takes the value in."""
        if not self.any:
            self.low = self.high = value
            self.any = True
            return 0.0
        low, high = self.low, self.high
        if low <= value <= high:
            return 0.0
        width = (high - low) or abs(high) or 1.0
        self.low, self.high = min(low, value), max(high, value)
        return min(max(value - high, low - value) / width, self._MOST)


class Novelty:
    """Bits of surprise at a value's bin, neighbours counted half."""

    _BINS = 8
    _FURTHEST = 1000
    """Bins beyond it are one: the state of a sensor stays small."""

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
        self.width = (usual or (ordered[-1] - ordered[0]) or abs(ordered[-1]) or 1.0) / self._BINS or 1.0
        for value in self.first:
            self._count(value)
        self.first = []

    def _count(self, value: float) -> float:
        bin = floor(max(-self._FURTHEST, min((value - self.low) / self.width, self._FURTHEST)))
        self.total += 1
        bits = log2((self.total + 1) / (self.counts[bin] + 1))
        for near, weight in ((bin - 1, 0.5), (bin, 1.0), (bin + 1, 0.5)):
            self.counts[near] += weight
        return bits


class Recurrence:
    """Bits of rarity: how few of the readings so far were at least as odd as this one.

    Oddness is sorted into bins of an eighth of a doubling, from 2 ** -16 to 2 ** 12.
    """

    _BINS = 28 * 8

    def __init__(self) -> None:
        self.counts = [0] * self._BINS
        self.total = 0

    def bits(self, oddness: float) -> float:
        """0 for the usual, the logarithm of the readings so far for what is odder than all of them."""
        mantissa, exponent = frexp(oddness)
        bin = (exponent + 15) * 8 + int(mantissa * 16) - 8
        bin = 0 if bin < 0 or oddness <= 0 else min(bin, self._BINS - 1)
        as_odd = sum(self.counts[bin:])
        self.counts[bin] += 1
        self.total += 1
        return log2(self.total / (as_odd + 1))


class Echo:
    """What exceeds the last alarm, which fades."""

    def __init__(self, fades: float) -> None:
        self.fades = fades
        self.last = 0.0

    def beyond(self, score: float) -> float:
        """0 for what was said already."""
        self.last *= self.fades
        new = max(0.0, score - self.last)
        self.last = max(self.last, score)
        return new


class Detector:
    """The anomaly score of one sensor."""

    def __init__(self, constants: Constants = CHOSEN) -> None:
        self.constants = constants
        self.hour = HourOfDay()
        self.range = Range()
        self.novelty = Novelty()
        self.recurrences = (Recurrence(), Recurrence(), Recurrence())
        self.echo = Echo(constants.fades)
        self.count = 0

    def score(self, value: float, hour: int) -> float:
        """Takes the next reading; 0 to 1."""
        new = self.echo.beyond(rarity(self.bits(value, hour), self.count, self.constants))
        return new / (new + _HALF)

    def bits(self, value: float, hour: int) -> tuple[float, float, float]:
        """The three views of the next reading, in bits."""
        self.count += 1
        value = max(-_LARGEST, min(value, _LARGEST))
        hours, beyond, novel = self.recurrences
        return (
            hours.bits(self.hour.distance(value, hour)), beyond.bits(self.range.beyond(value)),
            novel.bits(self.novelty.bits(value)) if self.constants.weights[2] else 0.0,
        )


def rarity(bits: tuple[float, float, float], count: int, constants: Constants) -> float:
    """The views as one number. `count`: readings so far."""
    weights = constants.weights
    total = weights[0] * bits[0] + weights[1] * bits[1] + weights[2] * bits[2]
    most = log2(count + 1)
    return float((total / most**constants.shortens) ** constants.sharpens)


def score_readings(readings: Sequence[Reading]) -> None:
    """Fills the scores in place; readings in the order of the series."""
    detectors: defaultdict[str, Detector] = defaultdict(Detector)
    for reading in readings:
        reading.anomaly = detectors[reading.key].score(reading.value, int(reading.ts // 3600) % 24)


def scores(values: Sequence[float], hours: Sequence[int]) -> Iterator[float]:
    """The scores of a whole series."""
    detector = Detector()
    return (detector.score(value, hour) for value, hour in zip(values, hours, strict=True))
