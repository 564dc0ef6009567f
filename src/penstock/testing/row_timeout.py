"""The time-out of rows in a test's own process: the workers' timer, out of the way of debuggers and other timers."""

from __future__ import annotations

import bdb
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

from penstock.slot.process.row_timeout import RowTimer

_LEAST_S = 1e-6


class ConsiderateTimer(RowTimer):
    """Lends the process's alarm for the time of a call, and keeps still while somebody debugs."""

    def __init__(self, timeout_s: float) -> None:
        before = signal.getsignal(signal.SIGALRM) or signal.SIG_DFL
        super().__init__(timeout_s, lambda since_ns: None)
        signal.signal(signal.SIGALRM, before)

    @contextmanager
    def watching(
        self, progress: Callable[[], int], code: CodeType, lines: frozenset[int] | None = None
    ) -> Iterator[None]:
        handler = signal.signal(signal.SIGALRM, self._tick)
        left_s, interval_s = signal.getitimer(signal.ITIMER_REAL)
        began = time.monotonic()
        try:
            with super().watching(progress, code, lines):
                yield
        finally:
            signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)
            if left_s:
                signal.setitimer(
                    signal.ITIMER_REAL, max(left_s - (time.monotonic() - began), _LEAST_S), interval_s
                )

    def _in_user_code(self, frame: FrameType | None) -> bool:
        return not _debugged() and super()._in_user_code(frame)


def timer_for(timeout_s: float | None) -> ConsiderateTimer | None:
    """None: no time-out, or a thread that no signal reaches."""
    if timeout_s is None or threading.current_thread() is not threading.main_thread():
        return None
    return ConsiderateTimer(timeout_s)


def _debugged() -> bool:
    return isinstance(getattr(sys.gettrace(), "__self__", None), bdb.Bdb) or "pydevd" in sys.modules
