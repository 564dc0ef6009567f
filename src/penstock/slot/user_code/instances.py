"""The user's functions and instances of one stage in one worker: made, opened, and closed at the end."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from penstock.operator import Context
from penstock.operators.verb import Operator
from penstock.slot.user_code.event_loop import EventLoop


class Instances:
    """Each instance is opened and closed once, however many operators call it."""

    def __init__(self, event_loop: EventLoop | None) -> None:
        """`event_loop`: the worker's, for coroutines; None: one of its own, once one is needed."""
        self._event_loop = event_loop
        self._owns_event_loop = False
        self._instances: list[Any] = []
        self._operators: list[str] = []
        """Beside the instances: what calls each first, and the line where the user wrote it."""
        self.opening = ""
        """That of the instance whose `open` runs, or raised."""

    def function(self, operator: Operator) -> Callable[[Any], Any]:
        """What is called for an operator."""
        fn = operator.function()
        if not inspect.isroutine(fn) and not inspect.isclass(fn) and not any(fn is known for known in self._instances):
            self._instances.append(fn)
            self._operators.append(f"{operator.name} {operator.where}".rstrip())
        return fn

    def open(self, context: Context) -> None:
        """Call `open` where there is one. Whatever user code raises here comes out."""
        for instance, operator in zip(self._instances, self._operators, strict=True):
            self.opening = operator
            if hasattr(instance, "open"):
                self._finish(instance.open(context))
        self.opening = ""

    def closers(self) -> Iterator[Callable[[], None]]:
        """What to call at the end: the instances' `close` in reverse order, each whatever others raised.

        Call one before asking for the next: a coroutine among them needs the loop, which is the last to be closed.
        """
        for instance in self._instances[::-1]:
            if hasattr(instance, "close"):
                yield partial(self._close, instance)
        if self._event_loop is not None and self._owns_event_loop:
            yield self._event_loop.close

    def event_loop(self) -> EventLoop:
        """The loop that coroutines of this stage run in."""
        if self._event_loop is None:
            self._event_loop, self._owns_event_loop = EventLoop(), True
        return self._event_loop

    def _close(self, instance: Any) -> None:
        self._finish(instance.close())

    def _finish(self, result: Any) -> None:
        """Await what an `async def open` or `close` gave."""
        if inspect.isawaitable(result):

            async def finish() -> None:
                await result

            self.event_loop().complete(finish())
