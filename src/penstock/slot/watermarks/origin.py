"""Where rows come from, a queue or a split of a source, and how far event time has come there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from penstock.event_time import END_OF_TIME, NO_WATERMARK

_MOST_AT_ONCE_S: Final = 2.0
"""Between two looks, at most this much counts as idle: a slot that was stopped, or calls a slow function, did not look.
A slot that sleeps wakes up at least so often."""


class Origin:
    """One queue, or one split of a source."""

    def __init__(self) -> None:
        self.watermark: int = NO_WATERMARK
        """No row that comes from here in order has an earlier time. `END_OF_TIME`: nothing comes."""
        self.idle = False
        """True: it has been without rows for so long that the others need not wait for it."""
        self.had_nothing = False
        """True: it was asked, and had nothing, and nothing has come since."""
        self.held_at: int = END_OF_TIME
        """What it was told by rows may not be further than this yet: older ones may come (`hold`)."""
        self.held_until_ns: int = 0
        """By the clock on the wall; 0: nothing is held."""
        self._idle_s = 0.0
        self._looked_at: float | None = None

    def hold(self, watermark: int, until_ns: int) -> None:
        """Rows that were on their way when slots changed come from several old queues, some of which had come further.

        Until a batch comes whose rows have all entered the pipeline since (`until_ns`), they say nothing of the others.
        """
        self.held_at, self.held_until_ns = watermark, until_ns

    def note(self, latest: int, ingest_ns: int) -> None:
        """Rows from here were given out, of which this is the latest time, and the oldest entered at `ingest_ns`."""
        if self.held_until_ns:
            if ingest_ns < self.held_until_ns:
                latest = min(latest, self.held_at)
            else:
                self.hold(END_OF_TIME, 0)
        self.raise_to(latest)

    def raise_to(self, watermark: int) -> None:
        """It never goes back."""
        if watermark > self.watermark:
            self.watermark = watermark

    def has_come(self) -> None:
        """Rows were taken from here."""
        self.idle = self.had_nothing = False
        self._idle_s, self._looked_at = 0.0, None

    def look(self, now_s: float, idle_after_s: float) -> None:
        """Let the time count since the last look. `now_s`: by a clock that stands still while output is held up."""
        if self.had_nothing and self.watermark != END_OF_TIME:
            if self._looked_at is not None:
                self._idle_s += min(max(now_s - self._looked_at, 0.0), _MOST_AT_ONCE_S)
            self.idle = self.idle or self._idle_s >= idle_after_s
            self._looked_at = now_s
        else:
            self._idle_s, self._looked_at = 0.0, None

    def idle_in_s(self, idle_after_s: float) -> float | None:
        """How long until it counts as idle if nothing comes; None: it does already, or has something."""
        return max(idle_after_s - self._idle_s, 0.0) if self.had_nothing and not self.idle else None


def together(origins: Iterable[Origin]) -> tuple[int, bool]:
    """The watermark of all of them, and whether all that are left are idle.

    Those that are idle are left out; where all are, the latest of them counts, as it would have without the others.
    """
    least, latest, waits, idle, any_origin = END_OF_TIME, NO_WATERMARK, False, False, False
    for origin in origins:
        any_origin = True
        if origin.watermark == END_OF_TIME:
            continue
        if origin.idle:
            idle = True
            latest = max(latest, origin.watermark)
        else:
            waits = True
            least = min(least, origin.watermark)
    if waits:
        return least, False
    if idle or not any_origin:  # a slot of a source that has no splits: nothing comes from it for now
        return latest, True
    return END_OF_TIME, False
