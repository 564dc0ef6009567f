"""What w3 does: rows and milliseconds of each user in windows of ten seconds of event time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

WINDOW_S = 10
DISORDER_S = 5


class Hit(msgspec.Struct, gc=False):
    """What w3 reads of an event."""

    ts: datetime
    user_id: str
    ms: int


class Used(msgspec.Struct, gc=False):
    """A result."""

    user_id: str
    start: datetime
    end: datetime
    n: int
    ms: int


def in_blocks(blocks: Iterable[list[Hit]]) -> Iterator[list[Used]]:
    """The best bare loop: results of windows that are complete, after each block."""
    windows: dict[float, dict[str, list[int]]] = {}
    newest = 0.0
    for block in blocks:
        for hit in block:
            time = hit.ts.timestamp()
            if time > newest:
                newest = time
            start = time // WINDOW_S
            window = windows.get(start)
            if window is None:
                window = windows[start] = {}
            found = window.get(hit.user_id)
            if found is None:
                window[hit.user_id] = [1, hit.ms]
            else:
                found[0] += 1
                found[1] += hit.ms
        for start in sorted(windows):
            if (start + 1) * WINDOW_S <= newest - DISORDER_S:
                yield results(start, windows.pop(start))
    for start in sorted(windows):
        yield results(start, windows.pop(start))


def results(start: float, window: dict[str, list[int]]) -> list[Used]:
    """The rows of a window that is complete."""
    begins, ends = (datetime.fromtimestamp(s * WINDOW_S, UTC) for s in (start, start + 1))
    return [Used(user, begins, ends, n, ms) for user, (n, ms) in window.items()]
