"""What follows a death. Pure: what is known of it goes in; finish, fail, gone or respawn comes out.

`blame` says whether a row is to blame, `restart` when the successor is born and when it is enough; this puts the two
together with what the worker itself said. `lives` acts on it.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from penstock.slot.records.life import Blamed, Exit, FailureNote, Suspect
from penstock.slot.records.work_page import WorkState
from penstock.supervisor.blame import Blame, Cause, Death
from penstock.supervisor.cause_of_death import cause_of, describe
from penstock.supervisor.restart import Escalate, Progress, RestartPolicy, Wait

_MOST_BLAMED = 500
"""Blamed rows are committed one by one as they are met: only the last ones can still come up."""


class WorkerEnd(msgspec.Struct, frozen=True):
    """What is known of a worker that has ended."""

    status: int
    """As `waitpid` gives it."""
    orderly: Exit | None
    """How it left, where it left in order."""
    note: FailureNote
    """Its own, or one that says how it ended."""
    seen: WorkState
    """What was in progress."""
    progress: Progress
    attempt: int
    lived_s: float
    in_call_s: float
    timed_out: bool = False
    """True: the watchdog killed it."""
    out_of_memory: bool = False
    """True: the system killed it, and the rows in progress had taken the memory."""


class Guidance(msgspec.Struct, frozen=True):
    """What a life is told about rows."""

    suspect: Suspect | None = None
    blamed: tuple[Blamed, ...] = ()
    careful: int = 0
    ungathered: int = 0


class Standing(msgspec.Struct, frozen=True):
    """What is known of the slot, and of the run."""

    slot: int
    guidance: Guidance
    """What the life that has ended was told."""
    blame: Blame
    policy: RestartPolicy
    unavailable_for_s: float
    proven: bool = False
    """True: the stage has committed something in this run."""
    leaving: bool = False
    """True: nobody is born any more."""


class Finish(msgspec.Struct, frozen=True):
    """The slot is through."""


class Gone(msgspec.Struct, frozen=True):
    """Nobody follows, because the run is leaving."""


class Fail(msgspec.Struct, frozen=True):
    """The stage has failed, and the run with it."""

    note: FailureNote
    blamed: Blamed | None = None
    counted: bool = False
    """True: it counts among the restarts of the stage, as every death does that was followed until now."""


class Respawn(msgspec.Struct, frozen=True):
    """A successor is born after this long, and is told this."""

    after_s: float
    guidance: Guidance
    blamed: Blamed | None = None
    """The row that this death has proved guilty."""
    wait: Wait | None = None
    """Where what it reads or writes is down: that is no death of the stage's doing."""


Fate: TypeAlias = Finish | Gone | Fail | Respawn


def after_death(end: WorkerEnd, standing: Standing, *, now: float, chance: float) -> Fate:
    """Called once for each death, in order: `blame` and `policy` learn of it. `chance`: random, in [0, 1)."""
    if end.orderly is Exit.FINISHED:
        return Finish()
    if end.orderly is Exit.FAILED:
        return Fail(end.note)
    if standing.leaving:
        return Gone()
    if end.orderly is Exit.UNAVAILABLE:
        return _wait(end, standing, chance)
    guidance, blamed, counted = standing.guidance, None, True
    if end.orderly is Exit.CAREFUL:
        guidance, counted = replace(guidance, careful=end.seen.mark.count if end.seen.mark else 1), False
    elif end.orderly is None:
        guidance, blamed, counted = _judge(end, standing)
    decision = standing.policy.decide(
        standing.slot, now, counted=counted, progress=end.progress, chance=chance, same=_same(end),
        proven=standing.proven,
    )
    if isinstance(decision, Escalate):
        return Fail(_enough(decision, end.note), blamed, counted=True)
    return Respawn(decision.after_s, guidance, blamed)


def _judge(end: WorkerEnd, standing: Standing) -> tuple[Guidance, Blamed | None, bool]:
    """It did not leave in order. What its successor is told, who is to blame, and whether the death counts."""
    cause = cause_of(end.status, timed_out=end.timed_out, out_of_memory=end.out_of_memory, sent=end.seen.sent)
    verdict = standing.blame.on_death(Death(
        cause, end.seen.mark, end.in_call_s, end.lived_s, describe(end.status), end.attempt, end.seen.doing
    ))
    blamed = standing.guidance.blamed
    if verdict.blamed is not None:
        blamed = (*blamed[-_MOST_BLAMED:], verdict.blamed)
    guidance = Guidance(verdict.suspect, blamed, verdict.careful, verdict.ungathered)
    return guidance, verdict.blamed, verdict.counted and cause is not Cause.OURS


def _wait(end: WorkerEnd, standing: Standing, chance: float) -> Fate:
    """What it reads or writes is down."""
    decision = standing.policy.unavailable(
        standing.slot, progress=end.progress, lived_s=end.lived_s, retry_after_s=end.note.retry_after_s,
        limit_s=standing.unavailable_for_s, chance=chance,
    )
    if isinstance(decision, Escalate):
        return Fail(_enough(decision, end.note))
    return Respawn(decision.after_s, standing.guidance, wait=decision)


def _same(end: WorkerEnd) -> str:
    """Names the error. SIGKILL may be anybody's; who dies otherwise before its first row does so in `open`."""
    if end.orderly is None and end.seen.mark is None:
        if cause_of(end.status, timed_out=end.timed_out, out_of_memory=False) is Cause.OWN_DOING:
            return describe(end.status)
    return end.note.same


def _enough(decision: Escalate, note: FailureNote) -> FailureNote:
    return FailureNote(note.stage, f"{decision.reason}; the last time: {note.reason}", note.traceback, error=note.error)
