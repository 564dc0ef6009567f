"""Time-outs of plain functions: one interval timer per batch that raises `RowTimeout` when a row is past its deadline.

No timer call per record: each tick looks how far the batch has come, and a row that stands there for as long as the
time-out is interrupted. The signal interrupts Python code, sleeps and reads; a long call into C is interrupted when
it returns, or ends with the watchdog's kill.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

from penstock.errors import RowTimeout

_TICKS_PER_TIMEOUT = 8


class RowTimer:
    """The timer of one worker. `on_tick(monotonic_ns)`: the row in work runs since then, at the latest."""

    def __init__(self, timeout_s: float, on_tick: Callable[[int], None]) -> None:
        self._timeout_s = timeout_s
        self._on_tick = on_tick
        self._progress: Callable[[], int] = lambda: 0
        self._code: CodeType | None = None
        self._lines: frozenset[int] | None = None
        self._last = -1
        self._since = 0.0

    @contextmanager
    def watching(
        self, progress: Callable[[], int], code: CodeType, lines: frozenset[int] | None = None
    ) -> Iterator[None]:
        """Raise `RowTimeout` inside while `progress` stands still too long.

        Only below a frame that runs `code` and stands in one of `lines` (None: any): there nothing of the row was
        given out yet.
        """
        self._progress, self._code, self._lines = progress, code, lines
        self._last, self._since = progress(), time.monotonic()
        self._on_tick(time.monotonic_ns())
        signal.signal(signal.SIGALRM, self._tick)  # stages that share a slot have a timer each
        tick = self._timeout_s / _TICKS_PER_TIMEOUT
        signal.setitimer(signal.ITIMER_REAL, tick, tick)
        try:
            yield
        finally:
            self._code = None
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _tick(self, signum: int, frame: FrameType | None) -> None:
        if self._code is None:
            return
        now, progress = time.monotonic(), self._progress()
        if progress != self._last:
            self._last, self._since = progress, now
            self._on_tick(time.monotonic_ns())
        elif now - self._since >= self._timeout_s and self._in_user_code(frame):
            self._since = now
            raise RowTimeout(self._timeout_s)

    def _in_user_code(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code is self._code:
                return self._lines is None or frame.f_lineno in self._lines
            frame = frame.f_back
        return False
