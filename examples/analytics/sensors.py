"""Parses sensor series: NAB's `timestamp,value` files and the water-flow meter's ISO times with offset.

Rules
- NAB stamps have no zone and count as UTC; an offset would be obeyed. A stamp is never corrected: where the clock was
  changed, nobody can say which of two rows with one stamp came first, so rows keep their stamp and their place in the
  file, and `clock` says what is odd about them. No reading is a duplicate: rows with equal stamps have other values.
- The usual step is the most frequent one so far, hence known from the third row on.
- Water flow: the offset is applied, so the change to summer time in March leaves no trace in `ts`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePosixPath

from analytics.events import AnyEvent, Reading
from analytics.stamps import instant


class Series:
    """One sensor's readings in file order."""

    def __init__(self, kind: str, instant: Callable[[str], float]) -> None:
        self.kind = kind
        self.instant = instant
        self.last_ts = math.nan
        self.steps: Counter[float] = Counter()

    def __call__(self, file: str, line: int, text: str) -> list[AnyEvent]:
        stamp, comma, number = text.partition(",")
        if not comma:
            raise ValueError("no comma between time and value")
        value = float(number)
        if not math.isfinite(value):
            raise ValueError(f"{number!r} is no reading")
        ts = self.instant(stamp)
        return [Reading(
            id=f"{file}:{line}", file=file, line=line, ts=ts, key=PurePosixPath(file).stem.partition(".")[0],
            kind=self.kind, value=value, stamp=stamp, clock=self._clock(ts),
        )]

    def _clock(self, ts: float) -> str:
        step = ts - self.last_ts
        self.last_ts = ts
        if step > 0:
            usual = self.usual_step
            self.steps[step] += 1
            return "gap" if step > 1.5 * usual else "ok"
        return "repeat" if step == 0 else "back" if step < 0 else "ok"  # the first step is not a number

    @property
    def usual_step(self) -> float:
        """Seconds; infinite while unknown."""
        return self.steps.most_common(1)[0][0] if self.steps else math.inf


def nab() -> Series:
    """`YYYY-MM-DD HH:MM:SS,value`."""
    return Series("nab", instant)


def water_flow() -> Series:
    """`YYYY-MM-DDTHH:MM:SS+HH:MM,litres per second`."""
    return Series("water-flow", _with_offset)


def _with_offset(stamp: str) -> float:
    if datetime.fromisoformat(stamp).tzinfo is None:
        raise ValueError(f"{stamp!r} has no offset from UTC")
    return instant(stamp)
