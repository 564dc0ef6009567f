"""Rows that hold up the event loop: `time.sleep` or a long computation in a coroutine, while no other row can run.

A timer looks which task has been running since the last ticks, without a return to the loop. Once that is as long as
the time-out it raises `RowTimeout` in that very task; the rows beside it continue. A call into C that does not return
ends with the watchdog's kill, because the worker's page names the row whose step it is (`row_coroutine`).

Without a time-out nothing is interrupted, and a warning names the function that holds the others up, once per stage.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from penstock.errors import RowTimeout
from penstock.slot.user_code.row_in_work import RowInWork, row_in_work
from penstock.standard_streams import prints_wait

if TYPE_CHECKING:  # workers without coroutines do not load it
    import asyncio

log = logging.getLogger("penstock.worker")
_TICKS_PER_TIMEOUT = 8
TELL_S = 0.5
"""A coroutine that holds the loop up for this long is reported."""
_TELL_TICK_S = 0.1


class StallWatch:
    """The timer of one event loop. Works in a process's main thread only, which alone is sent signals."""

    def __init__(self, rounds: Callable[[], int]) -> None:
        """`rounds`: how often the loop has looked for events."""
        self._rounds = rounds
        self._shortest_s: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen: tuple[int, int] | None = None
        self._charged = self._ticked = 0.0
        self._interval_s = 0.0
        self._untold: dict[CodeType, str] = {}
        """Stages of which nothing was told so far, by the program that calls their functions."""

    def tell(self, code: CodeType, stage: str) -> None:
        """Warn, once, when a function that this program of the stage calls holds the loop up."""
        self._untold[code] = stage

    def watch(self, timeout_s: float) -> None:
        """Look often enough for this time-out, too."""
        self._shortest_s = min(self._shortest_s or timeout_s, timeout_s)

    @contextmanager
    def watching(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Look while the loop runs."""
        if not (self._shortest_s or self._untold) or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._loop, self._seen = loop, None
        tick = self._shortest_s / _TICKS_PER_TIMEOUT if self._shortest_s is not None else _TELL_TICK_S
        self._interval_s = tick = min(tick, _TELL_TICK_S) if self._untold else tick
        self._ticked = time.monotonic()
        handler = signal.signal(signal.SIGALRM, self._tick)  # other stages in this slot have timers of their own
        left, interval = signal.setitimer(signal.ITIMER_REAL, tick, tick)
        try:
            yield
        finally:
            self._loop = None
            signal.setitimer(signal.ITIMER_REAL, left, interval)
            signal.signal(signal.SIGALRM, handler or signal.SIG_DFL)

    def _tick(self, signum: int, frame: FrameType | None) -> None:
        if self._loop is None:
            return
        now = time.monotonic()
        # A late tick: the process was stopped, or called into C. Not much of that is charged.
        passed, self._ticked = min(now - self._ticked, 2 * self._interval_s), now
        import asyncio

        task, row = asyncio.current_task(self._loop), row_in_work.get(None)
        if task is None or row is None:
            self._seen = None
            return
        seen = (self._rounds(), id(task))
        if seen != self._seen:
            self._seen, self._charged = seen, 0.0
        elif not prints_wait():
            self._charged += passed
        if self._charged >= TELL_S and row.code in self._untold:
            self._tell(row, task, frame)
        if row.timeout_s is not None and self._charged >= row.timeout_s and _in_users_code(frame, row, task):
            self._charged = 0.0
            raise RowTimeout(row.timeout_s)


    def _tell(self, row: RowInWork, task: asyncio.Task[object], frame: FrameType | None) -> None:
        function = _users_frame(frame, row, task)
        if function is None or row.code is None:
            return
        code = function.f_code
        log.warning(
            "stage %s: %s (%s:%s) has held up the event loop for %.1f s, and meanwhile no other row in flight can run; "
            "await what it waits for (asyncio.sleep, asyncio.to_thread), or make it a plain function with more workers",
            self._untold.pop(row.code), code.co_qualname, code.co_filename, function.f_lineno, self._charged,
        )


def _run_of_handles() -> CodeType:
    """What the loop calls everything by."""
    from asyncio import events

    return events.Handle._run.__code__


def _users_frame(frame: FrameType | None, row: RowInWork, task: asyncio.Task[object]) -> FrameType | None:
    """The function that the row's program has called, or the one that a task of the row's runs."""
    outer = row.code if task is row.task else _run_of_handles()
    while frame is not None and frame.f_back is not None and frame.f_back.f_code is not outer:
        frame = frame.f_back
    return None if frame is None or frame.f_back is None else frame


def _in_users_code(frame: FrameType | None, row: RowInWork, task: asyncio.Task[object]) -> bool:
    """True when what was interrupted is the row's, rather than ours or the loop's around it."""
    if task is not row.task:  # a task that the row has started: its code lies right on the loop's
        return frame is not None and frame.f_code is not _run_of_handles()
    while frame is not None:
        if frame.f_code is row.code:
            return True
        frame = frame.f_back
    return False
