"""How a life ends, by what its worker raised: the exit code, and what the supervisor is told. Pure.

`stops` has what the worker itself raises to end early; anything else is what the user's code or the machine raised.
"""

from __future__ import annotations

import msgspec

from penstock.errors import FileUnusable, QueueDamaged
from penstock.slot.process.pickled_error import pickled_error
from penstock.slot.process.stops import CarefulRestart, StageFailed, Stopped, Trouble
from penstock.slot.process.user_errors import one_line, same_error, unavailable, user_traceback
from penstock.slot.records.life import Exit, FailureNote
from penstock.slot.records.work_page import Mark


class LifeEnd(msgspec.Struct, frozen=True):
    """What a worker leaves behind when it ends before its input does."""

    code: Exit
    note: FailureNote | None = None
    """To be left in the slot's `failure` file."""
    mark: Mark | None = None
    """To be left on the slot's page of work: the rows that a successor has to process one by one."""


def life_end(error: BaseException, stage: str) -> LifeEnd:
    """The end by an error that left the worker. `stage`: the one to name where the error names none."""
    match error:
        case Stopped():
            return LifeEnd(Exit.STOPPED)
        case CarefulRestart():
            return LifeEnd(Exit.CAREFUL, mark=Mark(error.stage, 0, 0, 0, error.rows))
        case StageFailed():
            note = FailureNote(error.stage, error.reason, error.traceback, error=pickled_error(error.error))
            return LifeEnd(Exit.FAILED, note)
        case QueueDamaged():
            return LifeEnd(Exit.FAILED, FailureNote(stage, str(error)))
        case FileUnusable():
            return LifeEnd(Exit.TROUBLE, FailureNote(stage, str(error)))
        case Trouble():
            return _in_trouble(error.error, error.stage, error.what, of_sink=error.of_sink)
        case _:
            return _in_trouble(error, stage)


def _in_trouble(error: BaseException, stage: str, what: str = "", *, of_sink: bool = False) -> LifeEnd:
    """What something outside raised: it is down for now, or a successor may have more luck."""
    reason = f"{what}: {one_line(error)}" if what else one_line(error)
    down = unavailable(error, of_sink=of_sink)
    if down is not None:
        note = FailureNote(stage, reason, retry_after_s=down.retry_after_s, error=pickled_error(error))
        return LifeEnd(Exit.UNAVAILABLE, note)
    note = FailureNote(stage, reason, user_traceback(error), same=same_error(what, error), error=pickled_error(error))
    return LifeEnd(Exit.TROUBLE, note)
