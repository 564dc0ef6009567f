"""A row whose coroutine is in flight, as its task and those that it starts know it."""

from __future__ import annotations

from contextvars import ContextVar
from types import CodeType
from typing import TYPE_CHECKING, Any

from penstock.slot.input.intake import Intake
from penstock.slot.process.row_failure import Failure
from penstock.slot.records.retries import WaitingRow
from penstock.slot.records.work_page import RETRY_INPUT, Mark

if TYPE_CHECKING:  # workers without coroutines do not load it
    import asyncio


class RowInWork:
    """From its call until it is given out."""

    __slots__ = (
        "age_s",
        "attempts",
        "code",
        "done",
        "failure",
        "given",
        "index",
        "intake",
        "interrupted",
        "never",
        "retry",
        "row",
        "task",
        "timeout_s",
    )

    def __init__(self, row: Any, index: int, *, intake: Intake | None = None, retry: WaitingRow | None = None) -> None:
        self.row = row
        self.index = index
        """In its intake, or in the batch that was given to `run`."""
        self.intake = intake
        self.retry = retry
        """Where it comes from the file of retries."""
        self.task: asyncio.Task[None] | None = None
        """While it is in flight."""
        self.code: CodeType | None = None
        self.timeout_s: float | None = None
        self.given: list[list[Any]] = []
        self.failure: Failure | None = None
        self.done = False
        self.never = False
        """True: user code is not to be called for it."""
        self.attempts = 0
        self.age_s = 0.0
        """How long this attempt has been in flight, without the time in which somebody else held the loop up."""
        self.interrupted = False
        """True: its time was over."""

    @property
    def key(self) -> str | None:
        """Its idempotency key; None: whoever called `run` knows."""
        if self.retry is not None:
            return self.retry.key
        return None if self.intake is None else f"{self.intake.key}/{self.intake.first_row + self.index}"

    def mark(self, stage: int, count: int = 1) -> Mark:
        """The row, of this stage, and those behind it in its batch."""
        if self.retry is not None:
            return Mark(stage, RETRY_INPUT, self.retry.number, 0, 1)
        intake = self.intake
        assert intake is not None
        return Mark(stage, intake.input, intake.sequence, intake.first_row + self.index, count)


row_in_work: ContextVar[RowInWork] = ContextVar("row_in_work")
