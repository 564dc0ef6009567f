"""Watches one life: whether it hangs before its first row or when all is done, and whether a row has had its time.

`first_row`, `closing` and `watchdog` decide; this looks at the worker for them.
"""

from __future__ import annotations

from penstock.slot.records.work_page import CLOSES, OPENED, WorkState
from penstock.supervisor.close_watch import Closing, ClosingStep
from penstock.supervisor.first_row import FirstRow, wanted_s
from penstock.supervisor.held_up import is_stopped
from penstock.supervisor.output_relay import OutputPipes
from penstock.supervisor.slot_pages import SlotPages
from penstock.supervisor.watchdog import Watchdog


class LifeWatch:
    """One life, from its birth."""

    def __init__(self, now: float) -> None:
        self._first_row: FirstRow | None = FirstRow(now)
        """None: it has got something done, or has been told of."""
        self._watchdog = Watchdog()
        self._closing: Closing | None = None

    @property
    def closes(self) -> bool:
        """True: its worker is through, and closes what is the user's."""
        return self._closing is not None

    @property
    def due(self) -> float | None:
        """When to look whether it hangs before its first row; None: that is settled."""
        return None if self._first_row is None else self._first_row.due()

    def hangs_before_its_first_row(
        self, now: float, pid: int, pages: SlotPages, pipes: OutputPipes
    ) -> WorkState | None:
        """What it does, where it has done nothing but wait since its birth, in user code; once in a life."""
        if self._first_row is None or now < self._first_row.due():
            return None
        if pages.committed:
            self._first_row = None
            return None
        seen = pages.in_work()
        in_user_code = seen.reached < OPENED or seen.mark is not None
        if not self._first_row.hangs(now, wanted_s(pid)) or not in_user_code or _is_held_up(pid, pipes):
            return None
        self._first_row = None
        return seen

    def overdue(
        self, now_ns: int, pid: int, pages: SlotPages, pipes: OutputPipes, *, timeout_s: float | None, grace_s: float
    ) -> bool:
        """True when a row has been in progress for its time-out and the grace."""
        seen = pages.in_work()
        limit_ns = seen.limit_ns or (timeout_s or 0.0) * 1e9
        watched = seen.mark is not None and limit_ns > 0
        return self._watchdog.overdue(
            seen.since_ns if watched else None, limit_ns + grace_s * 1e9, now_ns,
            held_up=watched and _is_held_up(pid, pipes),
        )

    def closing_step(self, now_ns: int, pid: int, pages: SlotPages, pipes: OutputPipes) -> ClosingStep | None:
        """What to do about a worker that is through, and closes what is the user's."""
        seen = pages.in_work()
        if seen.reached != CLOSES:
            return None
        self._closing = self._closing or Closing()
        return self._closing.step(seen.beat_ns, now_ns, held_up=_is_held_up(pid, pipes))


def _is_held_up(pid: int, pipes: OutputPipes) -> bool:
    """True: it cannot run, because somebody has stopped it or does not read what it prints."""
    return is_stopped(pid) or pipes.full
