"""The coroutine of a row's task: the user's functions run in its steps, and each step is told to the worker's page.

asyncio asks a coroutine for nothing but `send`, `throw` and `close`. With methods of our own, a step costs no frames
around the user's, and the end of a row no callback: `ended` is called in the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn

from penstock.ctrl_c import is_ctrl_c
from penstock.slot.process import forks
from penstock.slot.user_code.page_steps import PageSteps
from penstock.slot.user_code.row_in_work import RowInWork, row_in_work

if TYPE_CHECKING:  # workers without coroutines do not load it
    import asyncio


class RowCoroutine:
    """For one attempt of one row."""

    def __init__(
        self, row: RowInWork, run: Callable[..., Any], outs: int, steps: PageSteps | None,
        ended: Callable[[RowInWork, BaseException | None], None],
    ) -> None:
        """`run`: the stage's program; `ended` is told what it raised, and must not raise itself."""
        self._row = row
        self._run = run
        self._given: list[list[Any]] = [[] for _ in range(outs)]
        self._steps = steps
        self._ended = ended
        self._running: Any = None
        """The user's coroutine, once it has begun."""

    def send(self, value: object) -> Any:
        """The next step. Raises `StopIteration` when it was the last one."""
        if self._running is None:
            row_in_work.set(self._row)
            self._running = self._run(self._row.row, *self._given)
        return self._step(self._running.send, None)

    def throw(self, error: BaseException, *rest: object) -> Any:
        """The next step, which begins with a cancellation, or with the error of what was awaited."""
        if self._running is None:
            self._end(_cancelled())
        return self._step(self._running.throw, error)

    def close(self) -> None:
        if self._running is not None:
            self._running.close()

    def _step(self, resume: Callable[[Any], Any], value: object) -> Any:
        steps = self._steps
        if steps is not None:
            steps.step(self._row)
        try:
            awaited = resume(value)
            forks.leave_if_child()
            return awaited
        except StopIteration:
            forks.leave_if_child()
            error: BaseException | None = None
        except BaseException as exc:  # the user's function, be it an exit, a panic or a cancelled task: the row's error
            if is_ctrl_c(exc):
                raise
            forks.leave_if_child_by(exc)
            error = exc
        finally:
            if steps is not None:
                steps.step_over()
        self._end(error)

    def _end(self, error: BaseException | None) -> NoReturn:
        task = self._row.task
        if error is None and task is not None and task.cancelling():
            task.add_done_callback(self._is_done)  # asked for in the last step, it is cancelled all the same
        else:
            self._tell(error)
        raise StopIteration

    def _is_done(self, task: asyncio.Task[None]) -> None:
        self._tell(_cancelled() if task.cancelled() else None)

    def _tell(self, error: BaseException | None) -> None:
        row = self._row
        row.given = self._given
        self._ended(row, error)
        row.task = None  # it holds this object, which holds the row


def _cancelled() -> BaseException:
    from asyncio import CancelledError

    return CancelledError("the row's task was cancelled")


Coroutine.register(RowCoroutine)  # what `asyncio.Task` asks for
