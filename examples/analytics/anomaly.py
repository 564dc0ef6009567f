"""Scores a sensor's readings online: 0 usual, towards 1 never seen. Each score uses that reading and earlier ones only.

A sensor is seen on several time scales: the reading itself, and the mean of its last readings (`Constants.means`). A
spike shows in the first, what lasts in the second. On each scale there are two views, numbers that are large when the
value is odd:

- its distance from what is usual at this hour of the day (`HourOfDay`);
- how far it is beyond everything that came before (`Range`).

Distances of different sensors, scales and views cannot be compared; how seldom something comes can. So each is told in
bits (`Recurrence`): a value so odd that one in 1,024 of those before was as odd has 10 bits. What all views together
say is their weighted mean. What sticks out is told once: after it, only what exceeds it is told, while it fades over
some hundred readings (`Rest`).

`select_anomaly.py` chose the constants by cross-validation; the README says with what result.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import frexp, log2, sqrt

from analytics.events import Reading

_FAR = 1000.0
"""Standard deviations; whatever is further counts as much, since a series that stood still has next to none."""
_HALF = 4.1
"""Bits with the score 0.5: what is above is an alarm by the threshold that all labelled series together choose."""
_LARGEST = 1e100
"""A reading beyond it counts as this one: its square is still a number."""


@dataclass(frozen=True)
class Constants:
    """What was chosen."""

    means: tuple[int, ...] = (1, 30)
    """The time scales: over how many readings the mean is taken. The first is 1, the reading itself."""
    hour: float = 2.0
    """The weight of the hour of the day, shared by the scales. The range of the reading itself has 1."""
    ranges: float = 1.0
    """The weight of the ranges of all scales, shared by them."""
    exceeds: float = 1.0
    """How many times as rare as what is left of the last alarm a new one must be."""
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
    _KNOWN = 5
    """An hour that is new counts as if it had been seen so often: its first values teach fast, but none alone."""

    def __init__(self) -> None:
        self.all = Level(0.002)
        self.hours: dict[int, tuple[int, float, float]] = {}

    def distance(self, value: float, hour: int) -> float:
        """Standard deviations; then learns the value."""
        self.all.learn(value)
        count, mean, variance = self.hours.get(hour, (0, value, self.all.variance))
        away = value - mean
        # An hour that was always the same still has some of the whole series' spread.
        spread = sqrt(max(variance, 0.02 * self.all.variance))
        count += 1
        learns = max(self._LEARNS, 1 / (count + self._KNOWN))
        self.hours[hour] = count, mean + learns * away, (1 - learns) * (variance + learns * away * away)
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


class Recurrence:
    """Bits of rarity: how few of the readings so far were at least as odd as this one.

    Oddness is sorted into bins of an eighth of a doubling, from 2 ** -16 to 2 ** 12.
    """

    _DOUBLINGS = 28
    _LAST = _DOUBLINGS * 8 - 1

    def __init__(self) -> None:
        self.counts = [0] * (self._LAST + 1)
        self.doublings = [0] * self._DOUBLINGS
        """Sums of eight counts each: what is as odd is counted with few additions."""
        self.total = 0

    def bits(self, oddness: float) -> float:
        """0 for the usual, the logarithm of the readings so far for what is odder than all of them."""
        self.total += 1
        if oddness <= 0:
            self.counts[0] += 1
            self.doublings[0] += 1
            return 0.0
        mantissa, exponent = frexp(oddness)
        bin = (exponent + 15) * 8 + int(mantissa * 16) - 8
        bin = 0 if bin < 0 else self._LAST if bin > self._LAST else bin
        doubling = bin // 8
        as_odd = sum(self.counts[bin : doubling * 8 + 8]) + sum(self.doublings[doubling + 1 :])
        self.counts[bin] += 1
        self.doublings[doubling] += 1
        return log2(self.total / (as_odd + 1))


class Scale:
    """The two views of the mean of the last readings."""

    def __init__(self, readings: int) -> None:
        self.last: deque[float] = deque(maxlen=readings)
        self.hour = HourOfDay()
        self.range = Range()
        self.hours = Recurrence()
        self.ranges = Recurrence()

    def bits(self, value: float, hour: int) -> tuple[float, float]:
        """Takes the next reading: how seldom its hour has such a mean, and how seldom one is so far outside of all."""
        self.last.append(value)
        mean = sum(self.last) / len(self.last)  # a running sum would keep the rounding of a huge value for ever
        return self.hours.bits(self.hour.distance(mean, hour)), self.ranges.bits(self.range.beyond(mean))


class Rest:
    """After an alarm: what does not exceed what is left of it is not told. Alarms fade."""

    def __init__(self, constants: Constants) -> None:
        self.exceeds = constants.exceeds
        self.fades = constants.fades
        self.last = 0.0

    def told(self, bits: float) -> float:
        """The bits, or 0 for what was told already."""
        self.last *= self.fades
        new = bits if bits > self.exceeds * self.last else 0.0
        self.last = max(self.last, bits)
        return new


class Detector:
    """The anomaly score of one sensor."""

    def __init__(self, constants: Constants = CHOSEN) -> None:
        self.constants = constants
        self.scales = [Scale(readings) for readings in constants.means]
        self.rest = Rest(constants)

    def score(self, value: float, hour: int) -> float:
        """Takes the next reading; 0 to 1."""
        told = self.rest.told(rarity(self.bits(value, hour), self.constants))
        return told / (told + _HALF)

    def bits(self, value: float, hour: int) -> list[tuple[float, float]]:
        """Of the next reading, on each scale: hour and range, in bits."""
        value = max(-_LARGEST, min(value, _LARGEST))
        return [scale.bits(value, hour) for scale in self.scales]


def rarity(bits: Sequence[tuple[float, float]], constants: Constants) -> float:
    """All views as one number of bits."""
    hours = ranges = 0.0
    for hour, beyond in bits:
        hours += hour
        ranges += beyond
    total = (constants.hour * hours + constants.ranges * ranges) / len(bits) + bits[0][1]
    return total / (constants.hour + 1.0 + constants.ranges)


def score_readings(readings: Sequence[Reading]) -> None:
    """Fills the scores in place; readings in the order of the series."""
    detectors: defaultdict[str, Detector] = defaultdict(Detector)
    for reading in readings:
        reading.anomaly = detectors[reading.key].score(reading.value, int(reading.ts // 3600) % 24)


def scores(values: Sequence[float], hours: Sequence[int]) -> Iterator[float]:
    """The scores of a whole series."""
    detector = Detector()
    return (detector.score(value, hour) for value, hour in zip(values, hours, strict=True))
