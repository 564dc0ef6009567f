"""What a pipeline has written, as the lines that expected results consist of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nexmark.queries import results

from nexmark import compare


def lines_of(query: str, output: Path) -> list[str]:
    """Those of q12 all windows together."""
    rows = results(query, output)
    return list(map(compare.line, _by_bidder(rows) if query == "q12" else rows))


def _by_bidder(rows: Iterable[list[Any]]) -> Iterable[tuple[int, int]]:
    """Which bid is in which window depends on the clock; all of them together are all bids, each of them once."""
    counts: Counter[int] = Counter()
    windows = set()
    for bidder, count, start, end in rows:
        assert (end - start).total_seconds() == 10 and (bidder, start) not in windows
        windows.add((bidder, start))
        counts[bidder] += count
    return counts.items()
