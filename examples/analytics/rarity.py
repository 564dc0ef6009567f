"""Scores log records: how rare a record's template is, whether it comes in a burst, and whether that is alarming.

Counts are per system and learned online: a record is scored by what came before it, then counted. Time is the log's
own; a step back counts as no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, log2

from analytics.events import LogRecord

_SHORT_S = 60.0
_LONG_S = 3600.0


@dataclass
class _Pace:
    """How many events came within a minute and within an hour, both forgetting exponentially."""

    ts: float
    short: float = 0.0
    long: float = 0.0

    def hit(self, ts: float) -> float:
        """Counts an event; the share of the last hour's events that came in the last minute."""
        gone_s = max(0.0, ts - self.ts)
        self.ts = max(self.ts, ts)
        self.short = self.short * exp(-gone_s / _SHORT_S) + 1.0
        self.long = self.long * exp(-gone_s / _LONG_S) + 1.0
        return self.short / self.long


@dataclass
class _System:
    records: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    paces: dict[str, _Pace] = field(default_factory=dict)


def score_logs(records: Sequence[LogRecord]) -> None:
    """Fills the scores in place; records in the order of the log."""
    systems: dict[str, _System] = {}
    for record in records:
        system = systems.get(record.kind)
        if system is None:
            system = systems[record.kind] = _System()
        count = system.seen.get(record.template, 0)
        record.rarity = -log2((count + 0.5) / (system.records + 1.0)) if system.records else 0.0
        pace = system.paces.get(record.template)
        if pace is None:
            pace = system.paces[record.template] = _Pace(record.ts)
        record.burst = pace.hit(record.ts)
        # A handful of records is no burst, however close they are.
        weight = max(0, count - 4) / (count + 1)
        record.alarm = alarm(record.severity, max(0.0, record.rarity), record.burst * weight)
        system.seen[record.template] = count + 1
        system.records += 1


def alarm(severity: int, rarity: float, burst: float) -> float:
    """0 to 1: what is grave and rare, or grave and bursting."""
    weight = min(1.0, max(0, severity - 1) / 4)
    return round(weight * (1.0 - exp(-(rarity / 9 + 3 * burst))), 4)
