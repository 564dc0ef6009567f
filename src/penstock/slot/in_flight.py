"""The rows of an async stage that are in flight: `concurrency` of them at any time, over the borders of batches.

Rows are called for ahead of those that are not through, and given out and committed in their order. So a slow row holds
up what is given out, and nobody's call, until `_most` rows stand behind it. `loop` asks for steps; between them the
event loop runs (`event_loop`), in which the end of each row starts the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from penstock.slot.async_rows import AsyncRows
from penstock.slot.crash_points import CrashPoints
from penstock.slot.failure import Failure, Unmade
from penstock.slot.part import Part
from penstock.slot.retries import RetryFile, WaitingRow
from penstock.slot.row_errors import RowErrors
from penstock.slot.row_in_work import RowInWork
from penstock.slot.source_input import SourceInput
from penstock.slot.stops import StageFailed
from penstock.slot.suspicion import Suspicion
from penstock.slot.turn import Turn
from penstock.slot.unit import Unit
from penstock.slot.work import RETRY_INPUT, Mark, WorkPage

_WINDOW_BYTES = 16 * 1024 * 1024
"""What rows gave that cannot be given out yet is about so much at most, as encoded."""
_MOST_ROWS = 65_536
_UNKNOWN = 64
"""While nothing is known of what rows give, so many of them for each one in flight may be called for ahead."""
_READY_ROWS = 8
"""So many rows for each one in flight are read ahead, so that the end of one starts the next."""
_MOST_UNITS = 64
_TOGETHER_S = 0.001
"""Rows that end within so long are given out together, as long as all that may be are in flight."""
_STILL_SHARE = 1 / 16
"""Longer, up to `linger`, where coroutines would stand still for a larger share of the time than this."""
_SOURCE_WAITS_S = 0.02
"""A source that waits longer where it reads is read while nothing is in flight: the event loop stands still then."""


class InFlight:
    """The rows of one stage in one slot."""

    def __init__(
        self, part: Part, rows: AsyncRows, *, turn: Turn, errors: RowErrors, suspicion: Suspicion, retries: RetryFile,
        work: WorkPage, crash: CrashPoints, write: Callable[[Part, Mark], None], tell: Callable[..., None],
    ) -> None:
        """`write`: hands what rows gave to the part's sink; `tell`: decides about a row, with its mark."""
        self._part = part
        self._rows = rows
        self._loop = rows.loop
        self._turn = turn
        self._errors = errors
        self._suspicion = suspicion
        self._retries = retries
        self._work = work
        self._crash = crash
        self._write = write
        self._tell = tell
        self._in_place = errors.stops_at_failure(part)
        self._units: deque[Unit] = deque()
        """Taken, and not through; the first one may be begun."""
        self._begun = False
        self._ready: deque[RowInWork] = deque()
        """Not called for yet."""
        self._window: deque[RowInWork] = deque()
        """Called for, and not given out, in the order of the rows."""
        self._due: deque[RowInWork] = deque()
        """Retries whose time has come."""
        self._retrying: set[RowInWork] = set()
        self._retried: deque[RowInWork] = deque()
        """Retries that are through and not given out."""
        self._most = rows.concurrency * _UNKNOWN
        self._holds = False
        self._wakes_soon = False
        self._has_waited = False
        """What is ready to be given out has waited for more of its kind."""
        self._broken: BaseException | None = None
        self._damage: StageFailed | None = None
        """What is read next is damaged: raised once the rows before it are given out."""

    # What `loop` asks for.

    def step(self) -> bool:
        """Give out what is through, and take more. False: there is nothing to do until a row ends or input comes."""
        self._wakes_soon = False
        if self._broken is not None:
            raise self._broken
        did = self._give_out_retry() or self._give_out()
        if self._has_waited and not self._ready_to_give_out():
            self._has_waited = False
            if self._turn.pending and any(queue.reader_waits for queue in self._part.queues):
                self._turn.flush()
        if self._damage is not None and not self._units:
            self._turn.flush()
            raise self._damage
        if self._wants_more():
            did = self._take_more() or did
        self._call_for_more()
        self._show()
        return did

    def has_work(self) -> bool:
        """True when `step` would find something."""
        if self._broken is not None or (self._damage is not None and not self._units):
            return True
        if self._retried or self._ready_to_give_out() or self._apart() is not None:
            return True
        return self._wants_more() and self._part.inputs.ready()

    def next_apart(self) -> Unit | None:
        """The unit whose next row is to be worked apart from others, now that none is in flight."""
        return self._apart()

    def worked_apart(self, unit: Unit) -> None:
        """Rows of the unit were worked by `loop`, up to `unit.done`."""
        while self._ready and self._ready[0].unit is unit and self._ready[0].index < unit.done:
            self._ready.popleft()
        if unit.left == 0:
            self._units.popleft()
            self._begun = False

    def begin(self) -> None:
        """Rows of the first unit are about to be given out."""
        if self._begun:
            self._turn.goes_on(self._part, self._units[0])
        else:
            self._begun = True
            self._turn.begin(self._part, self._units[0])

    def let_run(self) -> None:
        """A round of the event loop, without waiting for anything."""
        if self._rows.flying:
            self._loop.wait(0.0)

    def hold(self, holds: bool) -> None:
        """True: call for no more rows, so that soon none is in flight."""
        self._holds = holds

    def retry(self, waiting: WaitingRow, row: Any) -> None:
        """A row's next attempt is due."""
        self._due.append(RowInWork(row, 0, retry=waiting))

    @property
    def empty(self) -> bool:
        """True when nothing is in flight, or waits to be."""
        return not (self._units or self._due or self._retrying or self._retried)

    @property
    def idle(self) -> bool:
        """True when nothing is in flight, and nothing that was waits to be given out."""
        return not (self._window or self._retrying or self._retried)

    @property
    def hungry(self) -> bool:
        """True when more rows could be in flight if there were any."""
        return not self._ready and self._rows.flying < self._rows.concurrency and len(self._window) < self._most

    # In.

    def _wants_more(self) -> bool:
        part = self._part
        if self._retries.full or self._damage is not None or len(self._ready) >= self._rows.concurrency * _READY_ROWS:
            return False
        if len(self._window) >= self._most or len(self._units) >= max(_MOST_UNITS, 2 * self._rows.concurrency):
            return False
        inputs = part.inputs
        return not (isinstance(inputs, SourceInput) and inputs.read_waits_s > _SOURCE_WAITS_S and not self.idle)

    def _take_more(self) -> bool:
        try:
            unit = self._part.inputs.take()
        except StageFailed as failed:
            self._damage = failed
            return True
        if unit is not None:
            self._take(unit)
        return unit is not None

    def _take(self, unit: Unit) -> None:
        self._units.append(unit)
        unmade: dict[int, tuple[Any, str]] = {}
        rows = self._part.chain.rows_of(unit.batch)
        if rows is None:
            rows, unmade = unit.batch.rows_or_failures()
        for index in range(unit.done, unit.length):
            row = RowInWork(rows[index], index, unit=unit)
            if index in unmade:
                row.row, why = unmade[index]
                row.done, row.failure = True, Failure(index, Unmade(why), None)
            self._ready.append(row)

    def _call_for_more(self) -> None:
        """Start rows while there is room for them in flight."""
        part = self._part
        if part.bytes_per_row:
            self._most = max(2 * self._rows.concurrency, min(_MOST_ROWS, int(_WINDOW_BYTES / part.bytes_per_row)))
        while self._rows.flying < self._rows.concurrency and self._start_next():
            pass
        part.rows_in_flight = len(self._window) + len(self._retrying)

    def _start_next(self) -> bool:
        if self._holds:
            return False
        if self._due:
            row = self._due.popleft()
            if row.retry is not None:
                self._retrying.add(row)
            self._rows.start(row, self._ended)
            return True
        if not self._ready or len(self._window) >= self._most:
            return False
        row = self._ready[0]
        if not self._suspicion.trusts_all or row.unit.failures:  # type: ignore[union-attr]
            if self._is_careful(row):
                return False
            row.never = self._is_never_called(row)
            row.done = row.done or row.never
        self._ready.popleft()
        self._window.append(row)
        if not row.done:
            self._crash.reached("in_user_code", self._part.counts.rows_in + len(self._window))
            self._rows.start(row, self._ended)
        return True

    def _mark_of(self, row: RowInWork, count: int = 1) -> Mark:
        if row.retry is not None:
            return Mark(self._part.number, RETRY_INPUT, row.retry.number, 0, 1)
        unit = row.unit
        assert unit is not None
        return Mark(self._part.number, unit.input, unit.sequence, unit.first_row + row.index, count)

    def _is_careful(self, row: RowInWork) -> bool:
        return self._suspicion.careful(self._mark_of(row))

    def _is_never_called(self, row: RowInWork) -> bool:
        assert row.unit is not None
        return row.index in row.unit.failures or self._suspicion.blamed(self._mark_of(row)) is not None

    def _apart(self) -> Unit | None:
        if self._suspicion.trusts_all or not self._ready or not self.idle or self._due:
            return None
        row = self._ready[0]
        return row.unit if row.unit is self._units[0] and self._is_careful(row) else None

    # In the event loop.

    def _ended(self, row: RowInWork) -> None:
        """A row's call is through: start the next one, and wake `loop` when there is something for it to do."""
        try:
            self._settle(row)
        except BaseException as exc:  # asyncio would keep it to itself; `step` raises it
            self._broken = exc
        self._go_on()

    def _go_on(self) -> None:
        """Start what can be started."""
        try:
            while self._rows.flying < self._rows.concurrency and self._start_next():
                pass
        except BaseException as exc:  # as above
            self._broken = exc
        if self._rows.flying < self._rows.concurrency:
            self._loop.wake()
        elif not self._wakes_soon:
            self._wakes_soon = True
            together_s = min(self._loop.stands_still_s / _STILL_SHARE, self._part.linger_s)
            self._loop.asyncio_loop.call_later(max(together_s, _TOGETHER_S), self._wake)

    def _wake(self) -> None:
        self._has_waited = True
        self._loop.wake()

    def _settle(self, row: RowInWork) -> None:
        if row.retry is not None:
            self._retrying.discard(row)
            self._retried.append(row)
        elif row.failure is not None and self._in_place:
            after_s = self._errors.in_place(self._part, row.failure, row.attempts)
            if after_s is not None:  # those behind it go on, and wait for it to be given out
                row.done = False
                self._loop.asyncio_loop.call_later(after_s, self._try_again, row)

    def _try_again(self, row: RowInWork) -> None:
        assert row.unit is not None
        made = self._part.chain.rows_of(row.unit.made_anew())
        if made is not None:  # otherwise some row of the columns cannot be made, and this one was made for itself
            row.row = made[row.index]
        self._due.append(row)
        self._go_on()

    # Out.

    def _ready_to_give_out(self) -> bool:
        return bool(self._window and self._window[0].done) or bool(self._units and self._units[0].left == 0)

    def _give_out(self) -> bool:
        """What the next rows gave, as far as they are through; of one unit."""
        if not self._ready_to_give_out():
            return False
        unit = self._units[0]
        self.begin()
        if unit.left == 0:
            self._advance(unit, 0)
        elif self._window[0].never:
            mark = self._mark_of(self._window.popleft())
            self._tell(mark, self._errors.never_called, self._part, unit, self._suspicion.blamed(mark))
            self._advance(unit, 1)
        else:
            self._give_out_piece(unit)
        self._errors.settle(self._part)
        self._turn.go_on(self._part)
        if unit.left == 0:
            self._units.popleft()
            self._begun = False
            if self._part.carries_turns or self._part.deals_turns:
                self._turn.flush()
        return True

    def _give_out_piece(self, unit: Unit) -> None:
        part, window = self._part, self._window
        piece: list[RowInWork] = []
        failed: RowInWork | None = None
        most = max(int(part.piece_bytes / part.bytes_per_row), 1) if part.bytes_per_row else _MOST_ROWS
        while window and window[0].done and not window[0].never and window[0].unit is unit and len(piece) < most:
            row = window.popleft()
            if row.failure is not None and self._in_place:
                failed = row
                break
            piece.append(row)
            part.counts.retries += max(row.attempts - 1, 0)
        if piece:
            self._give_out_rows(unit, piece)
        if failed is not None:
            part.counts.retries += max(failed.attempts - 1, 0)
            self._tell(
                self._mark_of(failed), self._errors.failed_for_good, part, [self._as_it_came(failed)], 0,
                failed.failure, max(failed.attempts, 1),
            )
            self._advance(unit, 1)

    def _give_out_rows(self, unit: Unit, piece: list[RowInWork]) -> None:
        part = self._part
        failures: list[Failure] = []
        for index, row in enumerate(piece):
            if row.failure is not None:
                failures.append(Failure(index, row.failure.error, row.failure.operator))
                continue
            self._give(row.given)
        self._turn.succeeded(part, len(piece) - len(failures))
        self._write(part, self._mark_of(piece[0], len(piece)))
        batch = [self._as_it_came(row) if row.failure is not None else row.row for row in piece]
        for failure in failures:
            self._tell(
                self._mark_of(piece[failure.index]), self._errors.failed, part, unit, batch, failure
            )
        self._advance(unit, len(piece))

    def _as_it_came(self, row: RowInWork) -> Any:
        """Without what its function may have changed in it before it raised."""
        unit = row.unit
        assert unit is not None
        return unit.untouched()[row.index] if isinstance(unit.batch, list) else row.row

    def _give(self, given: list[list[Any]]) -> None:
        for out, rows in zip(self._part.outs, given, strict=True):
            out.rows.extend(rows)

    def _advance(self, unit: Unit, rows: int) -> None:
        unit.done += rows
        self._part.inputs.progress(unit)
        self._turn.took(self._part, rows)
        self._suspicion.took(rows)

    def _give_out_retry(self) -> bool:
        """The outcome of a row's next attempt, in a turn of its own."""
        if not self._retried:
            return False
        part, row = self._part, self._retried.popleft()
        mark = self._mark_of(row)
        assert row.retry is not None
        self._turn.flush()
        self._turn.begin_retry(part, row.retry)
        if row.failure is None:
            self._give(row.given)
        self._write(part, mark)
        self._turn.succeeded(part, 1 if row.failure is None else 0)
        self._tell(mark, self._errors.retried, part, row.retry, row.failure)
        self._turn.took(part, 0)
        self._errors.settle(part)
        error = self._turn.flush_carefully(mark)
        if error is not None:
            self._tell(mark, self._errors.retry_not_encoded, part, row.retry, error)
            self._turn.flush()
        return True

    # What the supervisor sees.

    def _show(self) -> None:
        """Which rows are in flight, for a death between their steps: those of the oldest batch."""
        if self._rows.stuck:
            return  # that row is what is shown, until the watchdog ends it
        if self._window:
            first = self._window[0]
            behind = len(self._window) + 2 * self._rows.concurrency
            assert first.unit is not None
            self._work.in_flight(self._mark_of(first, min(behind, first.unit.length - first.index)))
        elif self._retrying:
            self._work.in_flight(self._mark_of(next(iter(self._retrying))))
        else:
            self._work.leave()


class PageSteps:
    """Tells the worker's page whose step it is."""

    def __init__(self, work: WorkPage, part: int) -> None:
        self._work = work
        self._part = part

    def step(self, row: RowInWork) -> None:
        unit = row.unit
        if unit is not None:
            self._work.step(self._part, unit.input, unit.sequence, unit.first_row + row.index)
        elif row.retry is not None:
            self._work.step(self._part, RETRY_INPUT, row.retry.number, 0)

    def step_over(self) -> None:
        self._work.step_over()

    def still(self, since_ns: int) -> None:
        self._work.still(since_ns)

    def stuck(self, row: RowInWork) -> None:
        """It goes on though its time is over; what is in work is this row, and since when stays as it is."""
        unit = row.unit
        if unit is not None:
            self._work.in_flight(Mark(self._part, unit.input, unit.sequence, unit.first_row + row.index, 1))
        elif row.retry is not None:
            self._work.in_flight(Mark(self._part, RETRY_INPUT, row.retry.number, 0, 1))
