"""What each exit code of the command line means, and which one an outcome gets."""

from __future__ import annotations

from enum import IntEnum

from penstock.errors import (
    AlreadyRunning,
    CheckpointDamaged,
    CheckpointForeign,
    CommandRefused,
    FileUnusable,
    LayoutChanged,
    NoRunDirectory,
    NotPrivate,
    OutputExists,
    PenstockError,
    PipelineFailed,
    QueueDamaged,
    StoreTaken,
    StoreUnavailable,
    TargetInUse,
)
from penstock.report import Report


class ExitCode(IntEnum):
    """Documented and stable: scripts and service managers read them."""

    OK = 0
    """Finished; or an unbounded pipeline was drained."""
    FAILED = 1
    """A stage failed."""
    USAGE = 2
    """Wrong usage, or mistakes in the pipeline."""
    REFUSED = 3
    """It is already running, its layout changed, its output exists, there is no room for its queues, a file is out of
    reach or could be somebody else's, or what an earlier run left is damaged."""
    CUT_SHORT = 4
    """Drained before the end of a bounded input."""
    UNDELIVERED = 5
    """Stopped with rows undelivered."""
    REJECTED = 6
    """Finished, but with dead letters or skipped rows, under `--strict`."""
    BUG = 70
    """A bug in penstock."""
    INTERRUPTED = 130
    """Ctrl-C while nothing ran yet."""


_REFUSALS = (
    AlreadyRunning, CheckpointDamaged, CheckpointForeign, CommandRefused, FileUnusable, LayoutChanged, NoRunDirectory,
    NotPrivate, OutputExists, QueueDamaged, StoreTaken, StoreUnavailable, TargetInUse,
)


def of_report(report: Report, *, strict: bool) -> ExitCode:
    """For a run that came to an end without an error."""
    if report.outcome == "failed":
        return ExitCode.FAILED
    if report.outcome == "stopped" or report.undelivered_rows > 0:
        return ExitCode.UNDELIVERED
    rejected = sum(stage.dead_letters + stage.skipped for stage in report.stages.values())
    return ExitCode.REJECTED if strict and rejected else ExitCode.OK


def of_error(error: PenstockError) -> ExitCode:
    """For a run that was refused or failed, and for every other command."""
    if isinstance(error, PipelineFailed):
        return ExitCode.FAILED
    return ExitCode.REFUSED if isinstance(error, _REFUSALS) else ExitCode.USAGE
