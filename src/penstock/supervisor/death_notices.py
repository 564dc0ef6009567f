"""What is said about the deaths of one slot. Nothing dies silently, and nothing floods: notices have a rate. Pure."""

from __future__ import annotations

from penstock.slot.records.life import Exit, FailureNote
from penstock.supervisor.restart import Wait

_TELL_S = 1.0
_WAITING_TOLD_S = 10.0


class DeathNotices:
    """The deaths of one slot; `label` names it. None instead of words: it is not their time."""

    def __init__(self, label: str, unavailable_for_s: float) -> None:
        self._label = label
        self._unavailable_for_s = unavailable_for_s
        self._told_at = 0.0
        self._untold = 0

    def died(self, note: FailureNote, orderly: Exit | None, attempt: int, now: float) -> str | None:
        """A successor follows. A slot that dies all the time is reported once a second. `attempt`: lives so far."""
        self._untold += 1
        if now < self._told_at + _TELL_S:
            return None
        more = f", {self._untold} deaths since the last notice" if self._untold > 1 else ""
        self._told_at, self._untold = now, 0
        what = f"worker {self._label}: {note.reason}" if orderly is Exit.TROUBLE else note.reason
        return f"{what}{more}; restart {attempt}"

    def waits(self, note: FailureNote, wait: Wait, now: float) -> str | None:
        """What it needs is down; told at once, and then now and then."""
        if wait.times > 1 and now < self._told_at + _WAITING_TOLD_S:
            return None
        self._told_at = now
        since = f", after {wait.waited_s - wait.after_s:.0f} s" if wait.times > 1 else ""
        return (
            f"worker {self._label} waits{since}: {retried(note, wait)} "
            f"(the option `unavailable_for` of this stage allows {self._unavailable_for_s:g} s)"
        )


def retried(note: FailureNote, wait: Wait) -> str:
    """What is down, and when it is tried again."""
    return f"{note.reason}; trying again in {wait.after_s:.1f} s"
