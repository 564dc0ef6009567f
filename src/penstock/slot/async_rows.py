"""Coroutines over rows: several in flight per worker, results in the order of the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from penstock.errors import RowTimeout
from penstock.slot import forks
from penstock.slot.batches import Out
from penstock.slot.failure import Failure
from penstock.slot.row_program import RowProgram

row_in_work: ContextVar[int] = ContextVar("row_in_work")


class AsyncRows:
    """Runs a program compiled for single rows over lists of rows, `concurrency` at once."""

    def __init__(
        self, runner: asyncio.Runner, program: RowProgram, concurrency: int, timeout_s: float | None
    ) -> None:
        self._runner = runner
        self._program = program
        self._concurrency = concurrency
        self._timeout_s = timeout_s

    def run(self, rows: Sequence[Any], outs: Sequence[Out], *, stop_at_failure: bool) -> list[Failure]:
        """All rows; what they gave is in `outs` in their order. With `stop_at_failure` only up to the first failed."""
        results: list[Failure | list[list[Any]]] = self._runner.run(self._gather(rows, len(outs)))
        failures: list[Failure] = []
        for result in results:
            if isinstance(result, Failure):
                failures.append(result)
                if stop_at_failure:
                    break
                continue
            for out, given in zip(outs, result, strict=True):
                out.rows.extend(given)
        return failures

    async def _gather(self, rows: Sequence[Any], outs: int) -> list[Any]:
        results: list[Any] = [None] * len(rows)
        waiting = iter(enumerate(rows))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._concurrency, len(rows))):
                group.create_task(self._work(waiting, results, outs))
        return results

    async def _work(self, waiting: Iterator[tuple[int, Any]], results: list[Any], outs: int) -> None:
        for index, row in waiting:
            row_in_work.set(index)
            given: list[list[Any]] = [[] for _ in range(outs)]
            scope = asyncio.timeout(self._timeout_s)
            try:
                async with scope:
                    await self._program.run(row, *given)
                forks.leave_if_child()
                results[index] = given
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as exc:  # the user's function, be it an exit or a panic: the row's error
                forks.leave_if_child_by(exc)
                if isinstance(exc, asyncio.CancelledError) and _is_cancelled():
                    raise
                error: BaseException = exc
                if isinstance(exc, TimeoutError) and scope.expired() and self._timeout_s is not None:
                    raised = exc.__cause__ or exc  # what the user's function was interrupted by
                    error = RowTimeout(self._timeout_s).with_traceback(raised.__traceback__)
                results[index] = Failure(index, error, self._program.operator_at(error))


def _is_cancelled() -> bool:
    """True when this task shall end, rather than something that the user awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
