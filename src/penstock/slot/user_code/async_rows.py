"""Coroutines of rows: each in a task of its own, with its time-out.

`in_flight` keeps as many of them going as the stage allows; `run` is for those that must be worked apart.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import CodeType
from typing import Any, Final

import msgspec

from penstock.errors import RowTimeout
from penstock.slot.input.batches import Out
from penstock.slot.process.row_failure import Failure
from penstock.slot.user_code.event_loop import EventLoop
from penstock.slot.user_code.page_steps import PageSteps
from penstock.slot.user_code.row_coroutine import RowCoroutine
from penstock.slot.user_code.row_in_work import RowInWork, row_in_work
from penstock.slot.user_code.row_program import RowProgram

_TICKS_PER_TIMEOUT: Final = 8
_STUCK: Final = 1.5
"""A row that keeps running for this many time-outs although it was interrupted is left to the watchdog."""

_LOOK_S: Final = 2.0
"""`run` looks so often whether it is through, whoever has woken it."""


class Coroutines(msgspec.Struct, frozen=True):
    """How the coroutines of a stage run."""

    concurrency: int = 16
    timeout_s: float | None = None
    event_loop: EventLoop | None = None
    """The worker's; None: one of their own."""
    steps: PageSteps | None = None
    """Who is told of their steps; None: nobody is."""


class AsyncRows:
    """The coroutines of one stage in one worker."""

    def __init__(
        self, loop: EventLoop, program: RowProgram, outs: int, coroutines: Coroutines, stage: str = ""
    ) -> None:
        from asyncio import Task  # workers without coroutines do not load it

        timeout_s, steps = coroutines.timeout_s, coroutines.steps
        self._task: Any = Task
        self.loop = loop
        self.concurrency = coroutines.concurrency
        self._program = program
        self._run: Callable[..., Any] = program.run
        self._code: CodeType = program.run.__code__
        self._outs = outs
        self._timeout_s = timeout_s
        self._steps = steps
        self._context: contextvars.Context | None = None
        """What every row's begins as."""
        self._flying: set[RowInWork] = set()
        self.stuck = False
        """True: a row keeps running although it was interrupted because its time is over."""
        self._ticked_at = 0.0
        self._ticking = False
        if timeout_s is not None:
            loop.watch_steps(timeout_s)
        if steps is not None:  # in a worker
            loop.tell_stalls(self._code, stage)

    @property
    def flying(self) -> int:
        """Rows in flight."""
        return len(self._flying)

    def start(self, row: RowInWork, ended: Callable[[RowInWork], None]) -> None:
        """Let a row's coroutine run; `ended` is called in the loop, once it is through, and must not raise."""
        row.code, row.timeout_s = self._code, self._timeout_s
        row.failure, row.interrupted, row.age_s = None, False, 0.0
        row.attempts += 1
        self._flying.add(row)
        if self._context is None:
            self._context = contextvars.copy_context()
        coroutine = RowCoroutine(row, self._run, self._outs, self._steps, partial(self._through, ended))
        # Not by `create_task`: what starts a row may be the last step of another one, whose context is not this row's,
        # and where a factory of the user's would run the first step at once.
        row.task = self._task(coroutine, loop=self.loop.asyncio_loop, context=self._context.copy())
        if self._timeout_s is not None and not self._ticking:
            self._ticking, self._ticked_at = True, self.loop.asyncio_loop.time()
            self._tick_later(self._timeout_s)

    def _through(self, ended: Callable[[RowInWork], None], row: RowInWork, error: BaseException | None) -> None:
        """The row's coroutine is through, however it ended."""
        if error is not None:
            row.failure = self._failure(row, error)
        self._flying.discard(row)
        row.done = True
        ended(row)

    def _failure(self, row: RowInWork, exc: BaseException) -> Failure:
        from asyncio import CancelledError

        error = exc
        if isinstance(exc, CancelledError) and row.interrupted and self._timeout_s is not None:
            raised = exc.__cause__ or exc  # what the user's function was interrupted by
            error = RowTimeout(self._timeout_s).with_traceback(raised.__traceback__)
        return Failure(row.index, error, self._program.operator_at(error))

    # Time-outs. One tick for all rows: time in which the loop stood still does not count, as no row could run.

    def _tick_later(self, timeout_s: float) -> None:
        self.loop.asyncio_loop.call_later(timeout_s / _TICKS_PER_TIMEOUT, self._tick, timeout_s)

    def _tick(self, timeout_s: float) -> None:
        if not self._flying:
            self._ticking = self.stuck = False
            return
        now = self.loop.asyncio_loop.time()
        passed = min(now - self._ticked_at, 2 * timeout_s / _TICKS_PER_TIMEOUT)
        self._ticked_at = now
        stuck = None
        for row in self._flying:
            row.age_s += passed
            if row.age_s >= timeout_s and not row.interrupted and row.task is not None:
                row.interrupted = True
                row.task.cancel()
            elif row.age_s >= timeout_s * _STUCK and row.interrupted:
                stuck = row
        self.stuck = stuck is not None
        if self._steps is not None:
            if stuck is None:
                self._steps.runs_since(int(now * 1e9))
            else:
                self._steps.stuck(stuck)
        self._tick_later(timeout_s)

    # Rows that are worked apart.

    def run(self, rows: Sequence[Any], outs: Sequence[Out], *, stop_at_failure: bool) -> list[Failure]:
        """All rows; what they gave is in `outs` in their order. With `stop_at_failure` only up to the first failed."""
        works = [RowInWork(row, index) for index, row in enumerate(rows)]
        waiting, left = deque(works), len(works)

        def ended(_: RowInWork) -> None:
            nonlocal left
            left -= 1
            if waiting:
                self.start(waiting.popleft(), ended)
            elif left == 0:
                self.loop.wake()

        for _ in range(min(self.concurrency, len(works))):
            self.start(waiting.popleft(), ended)
        while left:
            self.loop.wait(_LOOK_S)
        failures: list[Failure] = []
        for work in works:
            if work.failure is not None:
                failures.append(work.failure)
                if stop_at_failure:
                    break
                continue
            for out, given in zip(outs, work.given, strict=True):
                out.rows.extend(given)
        return failures


def current_key() -> str | None:
    """The idempotency key of the row whose code is running; None: no coroutine's is, or whoever called `run` knows."""
    row = row_in_work.get(None)
    return None if row is None else row.key
