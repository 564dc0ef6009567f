"""The trial of a stage's code: while no row has ever succeeded, it may be the code that is wrong, and not the data.

Rows that fail meanwhile wait in the retry file, each with the letter that it would be. The first success, in any slot
of the stage, makes letters of them; the end of the input without one, or too many failures, fails the stage, and the
next run, perhaps of fixed code, finds all of them. `row_errors` asks; the slots tell each other by their pages.
"""

from __future__ import annotations

from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.slot.process.stops import StageFailed
from penstock.slot.turn.slot_stage import SlotStage


def limit_of(stage: SlotStage) -> int | None:
    """This many failures without a success are enough; None: the stage is never given up."""
    policy = stage.plan.settings.on_error
    return policy.give_up_after if policy.kind == "dead_letter" else None


def is_on(stage: SlotStage) -> bool:
    """True while nothing speaks for the code."""
    if limit_of(stage) is None or stage.counts.succeeded:
        return False
    return not any(page.words[Word.ROWS_SUCCEEDED] for page in _others(stage))


def give_up_if_hopeless(stage: SlotStage, told: str, traceback: str) -> None:
    """After a failure. Raises `StageFailed`; what the turn took stays queued."""
    limit = limit_of(stage)
    if limit is None or stage.counts.failed_before_success < limit / stage.context.workers:
        return
    if _failures(stage) >= limit and is_on(stage):
        raise StageFailed(stage.plan.name, hopeless(_failures(stage), told), traceback)


def is_decided_at_the_end(stage: SlotStage, told: str, traceback: str) -> bool:
    """At the end of the slot's input; False: it depends on slots that are still at work.

    Raises `StageFailed` where all are through and no row has succeeded.
    """
    if not is_on(stage):
        return True
    stage.page.words[Word.ENDED_WITHOUT_SUCCESS] = 1
    if not stage.counts.failed_before_success:
        return True
    if all(page.words[Word.ENDED_WITHOUT_SUCCESS] for page in _others(stage)):
        raise StageFailed(stage.plan.name, hopeless(_failures(stage), told), traceback)
    return False


def hopeless(failed: int, told: str) -> str:
    """The reason, with the error that was seen last."""
    return (
        f"no row has ever succeeded and {failed} have failed, so the code is probably wrong, not the data "
        f"(dead_letter(give_up_after=None) continues anyway); the last error: {told}"
    )


def _others(stage: SlotStage) -> list[Page]:
    return [page for page in stage.sibling_pages if page is not stage.page]


def _failures(stage: SlotStage) -> int:
    others = sum(int(page.words[Word.ROWS_FAILED_BEFORE_SUCCESS]) for page in _others(stage))
    return stage.counts.failed_before_success + others
