"""Rows of an async stage that are called for ahead of those that are through: `concurrency` of them at any time.

The end of each row starts the next one, in the event loop. What they gave waits here, in the order of the rows, until
`in_flight` gives it out; so a slow row holds up what is given out, and nobody's call, until `_most` rows stand behind
it.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from penstock.slot.input.intake import Intake
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.records.retries import WaitingRow
from penstock.slot.records.work_page import WorkPage
from penstock.slot.running.ready_rows import ReadyRows
from penstock.slot.turn.row_errors import RowErrors
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.user_code.async_rows import AsyncRows
from penstock.slot.user_code.row_in_work import RowInWork

_WINDOW_BYTES: Final = 16 * 1024 * 1024
"""What rows gave that cannot be given out yet is about this much at most, as encoded."""
MOST_ROWS: Final = 65_536
_UNKNOWN: Final = 64
"""While nothing is known of what rows give, this many of them for each one in flight may be called for ahead."""
_READY_ROWS: Final = 8
"""This many rows for each one in flight are read ahead, so that the end of one starts the next."""
_TOGETHER_S: Final = 0.001
"""Rows that end within this long are given out together, as long as all that may be are in flight."""
_STILL_SHARE: Final = 1 / 16
"""Longer, up to `linger`, where coroutines would stand still for a larger share of the time than this."""


class CalledAhead:
    """The rows of one stage in one slot that are in flight, and those that are about to be."""

    def __init__(
        self, stage: SlotStage, rows: AsyncRows, ready: ReadyRows, *, errors: RowErrors, crash: CrashPoints
    ) -> None:
        self._stage = stage
        self._rows = rows
        self._errors = errors
        self._crash = crash
        self._ready = ready
        self.window: deque[RowInWork] = deque()
        """Called for, and not given out, in the order of the rows."""
        self._due: deque[RowInWork] = deque()
        """Retries whose time has come."""
        self._retrying: set[RowInWork] = set()
        self.retried: deque[RowInWork] = deque()
        """Retries that are through and not given out."""
        self._most = rows.concurrency * _UNKNOWN
        """Rows in the window at most."""
        self._holds = False
        self._wakes_soon = False
        self.has_waited = False
        """What is ready to be given out has waited for more of its kind."""
        self._broken: BaseException | None = None
        """What went wrong in the event loop, to be raised outside of it."""
        self.in_place = errors.stops_at_failure(stage)
        """True: rows behind a failed one are given out after it."""

    @property
    def is_broken(self) -> bool:
        """True: `look` raises."""
        return self._broken is not None

    def look(self) -> None:
        """Somebody is awake to see what is through. Raises what went wrong meanwhile."""
        self._wakes_soon = False
        if self._broken is not None:
            raise self._broken

    @property
    def empty(self) -> bool:
        """True when no row waits for its call, is in flight, or was and is not given out."""
        return not (self._ready or self._due) and self.idle

    @property
    def idle(self) -> bool:
        """True when nothing is in flight, and nothing that was waits to be given out."""
        return not (self.window or self._retrying or self.retried)

    @property
    def hungry(self) -> bool:
        """True when more rows could be in flight if there were any."""
        return not self._ready and self._rows.flying < self._rows.concurrency and len(self.window) < self._most

    @property
    def wants_more(self) -> bool:
        """True: rows are to be read, so that the end of one in flight starts the next."""
        return len(self._ready) < self._rows.concurrency * _READY_ROWS and len(self.window) < self._most

    # In.

    def add(self, intake: Intake) -> None:
        """Rows to be called for, behind those that are there."""
        self._ready.add(intake)

    def retry(self, waiting: WaitingRow, row: Any) -> None:
        """A row's next attempt is due."""
        self._due.append(RowInWork(row, 0, retry=waiting))

    def hold(self, holds: bool) -> None:
        """True: call for no more rows, so that soon none is in flight."""
        self._holds = holds

    def start(self) -> None:
        """Call for rows while there is room for them in flight."""
        stage = self._stage
        if stage.bytes_per_row:
            self._most = max(2 * self._rows.concurrency, min(MOST_ROWS, int(_WINDOW_BYTES / stage.bytes_per_row)))
        self._start_all()
        stage.rows_in_flight = len(self.window) + len(self._retrying)

    def let_run(self) -> None:
        """A round of the event loop, without waiting for anything."""
        if self._rows.flying:
            self._rows.loop.wait(0.0)

    def _start_all(self) -> None:
        while self._rows.flying < self._rows.concurrency and self._start_next():
            pass

    def _start_next(self) -> bool:
        if self._holds:
            return False
        if self._due:
            row = self._due.popleft()
            if row.retry is not None:
                self._retrying.add(row)
            self._rows.start(row, self._ended)
            return True
        ready = self._ready
        if not ready or len(self.window) >= self._most or ready.is_careful:
            return False
        row = ready.take()
        self.window.append(row)
        if not row.done:
            self._crash.reached("in_user_code", self._stage.counts.rows_in + len(self.window))
            self._rows.start(row, self._ended)
        return True

    # Rows that must not be in flight beside others.

    def next_apart(self) -> Intake | None:
        """The intake whose next row is to be worked apart from others, now that none is in flight."""
        ready = self._ready
        return ready.intake if ready.is_careful and self.idle and not self._due else None

    def worked_apart(self, intake: Intake) -> None:
        """Rows of the intake were worked elsewhere, up to `intake.done`."""
        self._ready.worked_apart(intake)

    # In the event loop.

    def _ended(self, row: RowInWork) -> None:
        """A row's call is through: start the next one, and wake `loop` when there is something for it to do."""
        try:
            self._settle(row)
        except BaseException as exc:  # asyncio would keep it to itself; `in_flight` raises it
            self._broken = exc
        self._start_more()

    def _start_more(self) -> None:
        """Start what can be started."""
        try:
            self._start_all()
        except BaseException as exc:  # as above
            self._broken = exc
        if self._rows.flying < self._rows.concurrency:
            self._rows.loop.wake()
        elif not self._wakes_soon:
            self._wakes_soon = True
            together_s = min(self._rows.loop.stands_still_s / _STILL_SHARE, self._stage.linger_s)
            self._rows.loop.asyncio_loop.call_later(max(together_s, _TOGETHER_S), self._wake)

    def _wake(self) -> None:
        self.has_waited = True
        self._rows.loop.wake()

    def _settle(self, row: RowInWork) -> None:
        if row.retry is not None:
            self._retrying.discard(row)
            self.retried.append(row)
        elif row.failure is not None and self.in_place:
            after_s = self._errors.in_place(self._stage, row.failure, row.attempts)
            if after_s is not None:  # those behind it run, and wait for it before they are given out
                row.done = False
                self._rows.loop.asyncio_loop.call_later(after_s, self._try_again, row)

    def _try_again(self, row: RowInWork) -> None:
        try:
            self._ready.make_anew(row)
        except BaseException as exc:  # as above
            self._broken = exc
        self._due.append(row)
        self._start_more()

    # What the supervisor sees.

    def show(self, work: WorkPage) -> None:
        """Which rows are in flight, for a death between their steps: those of the oldest batch."""
        if self._rows.stuck:
            return  # that row is what is shown, until the watchdog ends it
        stage = self._stage.number
        if self.window:
            first = self.window[0]
            behind = len(self.window) + 2 * self._rows.concurrency
            assert first.intake is not None
            work.in_flight(first.mark(stage, min(behind, first.intake.length - first.index)))
        elif self._retrying:
            work.in_flight(next(iter(self._retrying)).mark(stage))
        else:
            work.leave()
