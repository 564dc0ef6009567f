"""What becomes of rows that failed, without a process: decided as in a worker (`slot.error_policy`), kept in lists."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Any

from penstock.channel.router import KeyFailure
from penstock.dead_letters import DeadLetter
from penstock.error_text import cut
from penstock.errors import PenstockError
from penstock.plan.plan import EdgePlan, StagePlan, StageSettings
from penstock.slot.error_policy import Decision, FailStage, RetryRow, SkipRow, decide, last_resort
from penstock.slot.failure import Failure
from penstock.slot.stops import StageFailed
from penstock.slot.user_errors import one_line, user_traceback
from penstock.source import Rejected
from penstock.testing.clock import ManualClock

_SHOWN_CHARACTERS = 300


@dataclass(slots=True)
class Counts:
    """Of one stage, over its slots."""

    rows_in: int = 0
    rows_out: int = 0
    retries: int = 0
    dead_letters: int = 0
    skipped: int = 0
    restarts: int = 0
    succeeded: int = 0
    failed_before_success: int = 0
    busy_s: float = 0.0
    last_error: str = ""


@dataclass(order=True, slots=True)
class Waiting:
    """A row between two attempts."""

    due_s: float
    number: int
    row: Any = field(compare=False)
    attempts: int = field(compare=False)
    key: str = field(compare=False)


class RehearsedFates:
    """The fates of the rows of one slot."""

    def __init__(
        self, pipeline: str, stage: StagePlan, slot: int, *, counts: Counts, clock: ManualClock,
        dead_letters: list[DeadLetter],
    ) -> None:
        self._pipeline = pipeline
        self._stage = stage
        self._slot = slot
        self._counts = counts
        self._clock = clock
        self._dead_letters = dead_letters
        self._waiting: list[Waiting] = []
        self._waited = 0

    def next_due_s(self) -> float | None:
        """When the first of the waiting rows is due."""
        return self._waiting[0].due_s if self._waiting else None

    def take_due(self) -> Waiting | None:
        """A row whose time has come."""
        if not self._waiting or self._waiting[0].due_s > self._clock.monotonic():
            return None
        return heapq.heappop(self._waiting)

    def failed(self, row: Any, failure: Failure, attempts: int, key: str) -> None:
        """A row raised; it may wait for its next attempt while others go on."""
        decision = self.decide(failure, attempts)
        if not isinstance(decision, RetryRow):
            self.end(decision, row, failure, attempts)
            return
        self._waited += 1
        due_s = self._clock.monotonic() + decision.after_s
        heapq.heappush(self._waiting, Waiting(due_s, self._waited, row, attempts, key))

    def decide(self, failure: Failure, attempts: int) -> Decision:
        """What the stage's settings say."""
        return decide(self._stage.settings, failure.error, attempts, random.random())

    def not_encoded(self, row: Any, error: BaseException, attempts: int) -> None:
        """What a row gave cannot travel."""
        self.end(last_resort(self._stage.settings), row, Failure(0, error, None), attempts)

    def rejected_by_reader(self, found: Rejected) -> None:
        """What the source's reader came across is no row."""
        self.end(last_resort(self._stage.settings), found.row, Failure(0, PenstockError(found.reason), None), 1)

    def without_key(self, edge: EdgePlan, failure: KeyFailure) -> None:
        """The receiving stage's key function raised; that stage's policy counts."""
        settings = StageSettings(on_error=edge.on_error)
        operator = f"key_by {edge.key_where}".rstrip()
        self._end(last_resort(settings), failure.row, failure.error, operator, 1, edge.receiver)

    def end(self, decision: Decision, row: Any, failure: Failure, attempts: int) -> None:
        """No further attempt. Raises `StageFailed` where that ends the run."""
        operator = f"{failure.operator.name} {failure.operator.where}" if failure.operator else ""
        self._end(decision, row, failure.error, operator, attempts, self._stage.name)

    def _end(
        self, decision: Decision, row: Any, error: BaseException, operator: str, attempts: int, stage: str
    ) -> None:
        counts, shown = self._counts, f"{operator}: {one_line(error)}" if operator else one_line(error)
        counts.last_error = shown
        if isinstance(decision, FailStage):
            raise StageFailed(stage, f"{shown}; the row was {_shown(row)}", user_traceback(error)) from error
        if isinstance(decision, SkipRow):
            counts.skipped += 1
            return
        counts.dead_letters += 1
        if not counts.succeeded:
            counts.failed_before_success += 1
        self._dead_letters.append(
            DeadLetter(
                id=f"test-{stage}.{self._slot}-{len(self._dead_letters) + 1}", pipeline=self._pipeline, stage=stage,
                slot=self._slot, operator=operator, time_s=self._clock.wall(), attempts=attempts,
                error=one_line(error), traceback=user_traceback(error), row=row,
            )
        )


def _shown(row: Any) -> str:
    return cut(repr(row), _SHOWN_CHARACTERS)
