"""Time-outs of plain functions: one interval timer per batch that raises `RowTimeout` when a row is past its deadline.

No timer call per record: each tick looks how far the batch has come, and a row that stands there for as long as the
time-out is interrupted. The signal interrupts Python code, sleeps and reads; a long call into C is interrupted when
it returns, or ends with the watchdog's kill.

A row is only charged for time in which it could have run: not while its process was stopped, nor while what it
prints waits for a slow reader.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

from penstock.errors import RowTimeout
from penstock.standard_streams import prints_wait

_TICKS_PER_TIMEOUT = 8
_continued = 0
"""How often this process was stopped and continued."""


def _note_continued(signum: int, frame: FrameType | None) -> None:
    global _continued
    _continued += 1


class RowTimer:
    """The timer of one worker. `on_tick(monotonic_ns)`: the row in progress has run since then, or longer."""

    def __init__(self, timeout_s: float, on_tick: Callable[[int], None]) -> None:
        self._timeout_s = timeout_s
        self._on_tick = on_tick
        self._progress: Callable[[], int] = lambda: 0
        self._code: CodeType | None = None
        self._lines: frozenset[int] | None = None
        self._last = -1
        self._charged = 0.0
        """Seconds that the row in progress has had, as far as ticks have counted."""
        self._ticked = 0.0
        self._continued = 0
        self._listening = False
        signal.signal(signal.SIGCONT, _note_continued)

    @contextmanager
    def watching(
        self, progress: Callable[[], int], code: CodeType, lines: frozenset[int] | None = None
    ) -> Iterator[None]:
        """Raise `RowTimeout` inside while `progress` stands still too long.

        Only below a frame that runs `code` and stands in one of `lines` (None: any): there nothing of the row was
        given out yet.
        """
        self._progress, self._code, self._lines = progress, code, lines
        self._last, self._charged, self._ticked = progress(), 0.0, time.monotonic()
        self._continued = _continued
        self._on_tick(time.monotonic_ns())
        signal.signal(signal.SIGALRM, self._tick)  # stages that share a slot have a timer each
        signal.setitimer(signal.ITIMER_REAL, self._interval_s, self._interval_s)
        try:
            yield
        finally:
            self._code = None
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _tick(self, signum: int, frame: FrameType | None) -> None:
        if self._code is None or self._listening:
            return
        now, progress = time.monotonic(), self._progress()
        passed, self._ticked = now - self._ticked, now
        if progress != self._last:
            self._last, self._charged = progress, 0.0
            self._on_tick(time.monotonic_ns())
        elif self._was_held_up(passed):
            self._on_tick(time.monotonic_ns() - int(self._charged * 1e9))
        else:
            self._charged += passed
        if self._charged >= self._timeout_s and self._in_user_code(frame):
            self._charged = 0.0
            raise RowTimeout(self._timeout_s)

    @property
    def _interval_s(self) -> float:
        return self._timeout_s / _TICKS_PER_TIMEOUT

    def _was_held_up(self, passed_s: float) -> bool:
        """True: since the last tick the row could not run."""
        if passed_s > 2 * self._interval_s:
            # The tick is late: by a long call into C, or because the process was stopped. Then a SIGCONT came with it,
            # whose handler is due behind this one; any signal makes the interpreter look for others first.
            self._listening = True
            signal.raise_signal(signal.SIGALRM)
            self._listening = False
        continued, self._continued = self._continued, _continued
        return continued != _continued or prints_wait()

    def _in_user_code(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code is self._code:
                return self._lines is None or frame.f_lineno in self._lines
            frame = frame.f_back
        return False
