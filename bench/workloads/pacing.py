"""The events of w4, each at its time, and what became of their latency. Used by every run of w4, in its own process.

The stamp of an event is the time at which it was *due*, not the one at which it got out: who falls behind shows it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

_HEAD_START_NS = 5_000_000


def paced(rate: int, seconds: float) -> Iterator[tuple[int, int]]:
    """(number, due time in monotonic ns) of each event, no earlier than it is due."""
    step = 1_000_000_000 // rate
    begin = time.monotonic_ns() + _HEAD_START_NS
    for number in range(int(rate * seconds)):
        due = begin + number * step
        while (early := due - time.monotonic_ns()) > 0:
            time.sleep(early / 1e9)
        yield number, due


def figures(latencies_ns: Sequence[int]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    ordered = sorted(latencies_ns)
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
    return {name: round(percentile(ordered, share) / 1e6, 3) for name, share in shares.items()}


def percentile(ordered: Sequence[int], share: float) -> int:
    """The value that `share` of all do not exceed; `ordered` is ascending."""
    return ordered[max(0, math.ceil(round(share * len(ordered), 6)) - 1)]
