"""A key function under the time-out of the stage it belongs to, though it runs in the workers of the one before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from penstock.slot.process.row_timeout import RowTimer


class WatchedKey:
    """Called for each row in place of the function."""

    def __init__(self, fn: Callable[[Any], Any], timer: RowTimer) -> None:
        self._fn = fn
        self._timer = timer
        self._calls = 0

    def __call__(self, row: Any) -> Any:
        self._calls += 1
        return self._fn(row)

    def watching(self) -> AbstractContextManager[None]:
        """While keys are computed: `RowTimeout` is raised in a call that takes too long, and nowhere else."""
        return self._timer.watching(lambda: self._calls, WatchedKey.__call__.__code__)
