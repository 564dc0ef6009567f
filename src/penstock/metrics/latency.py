"""Log-linear histograms of durations: eight buckets per power of two, as `catalogue.py` lays them out in a page.

Workers count into buckets; `status.py` adds the buckets of all slots and reads quantiles from the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

BUCKETS: Final = 512
"""Words of one histogram; 64-bit nanoseconds use the first 496."""

RELATIVE_ERROR = 1 / 16
"""A quantile differs from the exact one by this share of it at most."""

_SUB_BITS: Final = 3
_SUB: Final = 1 << _SUB_BITS


def bucket(ns: int) -> int:
    """Index of the bucket that holds a duration; below 8 ns every value has its own, negative ones count as 0."""
    if ns < _SUB:
        return max(ns, 0)
    shift = ns.bit_length() - 1 - _SUB_BITS
    return min(shift * _SUB + (ns >> shift), BUCKETS - 1)


def lower_bound(index: int) -> int:
    """Smallest duration of a bucket, in nanoseconds."""
    if index < _SUB:
        return index
    return (_SUB + index % _SUB) << (index // _SUB - 1)


def quantile(counts: Sequence[int], q: float) -> float:
    """Seconds below or at which a share `q` of the counted durations lies; 0.0 when nothing was counted."""
    total = sum(counts)
    if total <= 0:
        return 0.0
    rank = min(max(math.ceil(q * total), 1), total)
    index = next(i for i, seen in enumerate(accumulate(counts)) if seen >= rank)
    # The middle of the bucket is off by half its width at most: 1/16 of its lower bound.
    return (lower_bound(index) + lower_bound(index + 1) - 1) / 2 * 1e-9


def merge(histograms: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The histogram of everything that the given ones counted."""
    return tuple(map(sum, zip(*histograms, strict=True))) if histograms else (0,) * BUCKETS


def difference(later: Sequence[int], earlier: Sequence[int]) -> tuple[int, ...]:
    """What was counted between two readings of one histogram."""
    return tuple(max(0, b - a) for a, b in zip(earlier, later, strict=True))
