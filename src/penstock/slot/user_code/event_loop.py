"""The event loop of a worker: coroutines run whenever the worker waits, be it for input, for room or for time.

`loop` and `backpressure` wait on a `LoopWaiter` as they do on a bell's `Waiter`; `stalls` finds the row that holds the
loop up.
"""

from __future__ import annotations

import inspect
import math
import select
import selectors
from collections.abc import Coroutine
from types import CodeType
from typing import Any

from penstock.channel.bell import FifoBell
from penstock.ctrl_c import is_ctrl_c
from penstock.slot.user_code.stalls import StallWatch

_SUSPENDS = inspect.CO_COROUTINE | inspect.CO_GENERATOR
_SHARE_OF_LAST = 0.2
_MOST_STILL_S = 0.01
_GRAINS_PER_S = 10_000
"""Timers are late by a grain at most, and those within a grain share a round of the loop."""
_SELECTABLE = 1024
"""`select` knows of descriptors below this only."""
_EXACT_S = 0.05
"""Waits that are longer may be late by a millisecond."""


class _Selector(selectors.EpollSelector):
    """Waits for less than a millisecond, too, and counts the rounds of the loop.

    While the number stands still, something that the loop called has not returned.
    """

    rounds = 0

    def select(self, timeout: float | None = None) -> Any:
        self.rounds += 1
        # `epoll_wait` knows whole milliseconds only: a row that awaits one would take two.
        if timeout is not None and 0.0 < timeout < _EXACT_S and self.fileno() < _SELECTABLE:
            if not select.select((self.fileno(),), (), (), math.ceil(timeout * _GRAINS_PER_S) / _GRAINS_PER_S)[0]:
                return []
            timeout = 0.0
        return super().select(timeout)


class EventLoop:
    """Runs until it is woken, so that plain code and coroutines take turns."""

    def __init__(self) -> None:
        import asyncio

        self._selector = _Selector()
        self._runner = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(self._selector))
        self.asyncio_loop = self._runner.get_loop()
        self._stalls = StallWatch(lambda: self._selector.rounds)
        self._ran_until = 0.0
        self._completes = False
        """True: it runs until something is through, and has no turn to give back."""
        self.stands_still_s = 0.0
        """How long coroutines have lately waited from one run to the next: what one turn of plain code takes."""

    def watch_steps(self, timeout_s: float) -> None:
        """From now on a step of a row's that takes so long is interrupted; of several time-outs the shortest counts."""
        self._stalls.watch(timeout_s)

    def tell_stalls(self, code: CodeType, stage: str) -> None:
        """From now on a function of the stage that holds the loop up is reported; `code`: the program that calls it."""
        self._stalls.tell(code, stage)

    def wake(self) -> None:
        """Give the turn back to whoever waits, at the end of this round."""
        if not self._completes:
            self.asyncio_loop.stop()

    def wait(self, timeout_s: float) -> None:
        """Run until `wake`, or until the time is over; one round at least."""
        loop = self.asyncio_loop
        if timeout_s <= 0:
            loop.call_soon(loop.stop)
            self._run()
            return
        timer = loop.call_later(timeout_s, loop.stop)
        self._run()
        timer.cancel()

    def _run(self) -> None:
        if self._ran_until:
            stood_s = min(self.asyncio_loop.time() - self._ran_until, _MOST_STILL_S)
            self.stands_still_s += (stood_s - self.stands_still_s) * _SHARE_OF_LAST
        with self._stalls.watching(self.asyncio_loop):
            while True:
                try:
                    self.asyncio_loop.run_forever()
                    break
                except (SystemExit, KeyboardInterrupt) as exc:
                    if is_ctrl_c(exc):
                        raise
                    if not _is_of_a_task(exc):
                        told = {"message": "Exception in callback", "exception": exc}
                        self.asyncio_loop.call_exception_handler(told)
        self._ran_until = self.asyncio_loop.time()

    def complete(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run until it is through. A bell, or a timer of rows that are through by now, does not end that."""
        self._completes = True
        try:
            self.asyncio_loop.run_until_complete(coroutine)
        finally:
            self._completes = False

    def close(self) -> None:
        """Cancel what is left, and wait for it."""
        self._completes = True
        self._runner.close()


def _is_of_a_task(error: BaseException) -> bool:
    """True: asyncio has handed it to those who await the task, too; it is the error of the task's row.

    A task's step is a coroutine's frame right above that of the handle which the loop runs; a callback's is not.
    """
    from asyncio import events

    link = error.__traceback__
    while link is not None and link.tb_frame.f_code is not events.Handle._run.__code__:
        link = link.tb_next
    step = link.tb_next if link is not None else None
    return step is not None and bool(step.tb_frame.f_code.co_flags & _SUSPENDS)


class LoopWaiter:
    """What a slot with coroutines waits on: its bell, other descriptors, and its coroutines. As `bell.Waiter`."""

    def __init__(self, bell: FifoBell, loop: EventLoop) -> None:
        self._loop = loop
        self._others: set[int] = set()
        self._ready: set[int] = set()
        loop.asyncio_loop.add_reader(bell.fd, loop.wake)

    def watch(self, fds: set[int]) -> None:
        """Also wake for these descriptors; replaces the ones named before."""
        for fd in self._others - fds:
            self._loop.asyncio_loop.remove_reader(fd)
        for fd in fds - self._others:
            self._loop.asyncio_loop.add_reader(fd, self._is_ready, fd)
        self._others = set(fds)

    def _is_ready(self, fd: int) -> None:
        self._ready.add(fd)
        self._loop.wake()

    def wait(self, timeout_s: float) -> set[int]:
        """Let coroutines run until rung, a descriptor is ready, a row wants to be given out, or the time is over."""
        self._loop.wait(timeout_s)
        ready, self._ready = self._ready, set()
        return ready
