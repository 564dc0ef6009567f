"""What becomes of a row that failed. Pure: the error and the attempts so far go in, a decision comes out."""

from __future__ import annotations

import msgspec

from penstock.operator import Drop, Reject, Retry
from penstock.plan.plan import StageSettings
from penstock.slot.output.spool import GivesTooMuch


class RetryRow(msgspec.Struct, frozen=True):
    """Try it again after this long."""

    after_s: float


class SetAside(msgspec.Struct, frozen=True):
    """Into the dead-letter store."""


class SkipRow(msgspec.Struct, frozen=True):
    """Leave it out and count it."""


class FailStage(msgspec.Struct, frozen=True):
    """End the run."""


Decision = RetryRow | SetAside | SkipRow | FailStage
_JITTER = 0.2


def decide(settings: StageSettings, error: BaseException, attempts: int, chance: float) -> Decision:
    """`attempts`: calls made so far, at least 1. `chance`: a random number in [0, 1) for the jitter."""
    match error:
        case Drop():
            return SkipRow()
        case GivesTooMuch():
            return RetryRow(0.0)  # alone, which is no further attempt: the one before does not count
        case Retry():
            return RetryRow(error.after_s) if attempts <= settings.retries else last_resort(settings)
        case Reject():
            return last_resort(settings)
    if attempts <= settings.retries and isinstance(error, settings.retry_on):
        delay = min(settings.retry_delay_s * 2 ** min(attempts - 1, 60), settings.retry_delay_max_s)
        return RetryRow(delay * (1 + _JITTER * (2 * chance - 1)))
    return last_resort(settings)


def last_resort(settings: StageSettings) -> Decision:
    """What becomes of a row without further attempts."""
    match settings.on_error.kind:
        case "skip":
            return SkipRow()
        case "fail":
            return FailStage()
        case _:
            return SetAside()
