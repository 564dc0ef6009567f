"""Why a worker ends before its input does; `life_end` turns each into an exit code."""

from __future__ import annotations


class StageFailed(Exception):
    """The stage is over: a row failed under `fail`, no row ever succeeded, a source raised, a queue is damaged."""

    def __init__(
        self, stage: str, reason: str, traceback: str = "", error: BaseException | None = None
    ) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason
        self.traceback = traceback
        self.error = error


class Trouble(Exception):
    """Something outside raised (`open`, a writer); a successor may have more luck."""

    def __init__(self, stage: str, what: str, error: BaseException, *, of_sink: bool = False) -> None:
        super().__init__(what)
        self.of_sink = of_sink
        self.stage = stage
        self.what = what
        self.error = error


class CarefulRestart(Exception):
    """What some row of this turn gave cannot be encoded: a successor finds it row by row."""

    def __init__(self, stage: int, rows: int) -> None:
        super().__init__(f"{rows} rows of stage {stage}")
        self.stage = stage
        self.rows = rows


class Stopped(Exception):
    """The supervisor asked for it; what is in flight stays in the queues."""
