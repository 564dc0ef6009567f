"""Rows whose next attempt is due: each in a turn of its own; in a stage of coroutines, in flight with the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.ctrl_c import is_ctrl_c
from penstock.metrics.catalogue import Activity
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.records.retries import RetryFile, WaitingRow
from penstock.slot.records.work_page import RETRY_INPUT, Doing, Mark, WorkPage
from penstock.slot.running.calls import Calls
from penstock.slot.running.in_flight import InFlight
from penstock.slot.running.runner import Runner
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.row_errors import RowErrors
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn


class DueRetries:
    """The retries of one slot."""

    def __init__(
        self, runners: Sequence[Runner], calls: Calls, *, turn: Turn, errors: RowErrors, retries: RetryFile,
        suspicion: Suspicion, work: WorkPage, meter: Meter,
    ) -> None:
        """`runners`: of the slot's stages, by their numbers."""
        self._stages = [runner.stage for runner in runners]
        self._flights = {runner.stage.number: runner for runner in runners if isinstance(runner, InFlight)}
        self._calls = calls
        self._turn = turn
        self._errors = errors
        self._retries = retries
        self._suspicion = suspicion
        self._work = work
        self._meter = meter
        self._held: WaitingRow | None = None
        """Due, and to be worked apart from what is in flight."""

    def step(self) -> bool:
        """Work a row whose time has come. False: there is none, or it waits for what is in flight."""
        if not len(self._retries):
            return False
        waiting = self._held or self._retries.take_due(self._retries.now_s())
        if waiting is None:
            return False
        flight = self._flights.get(waiting.stage)
        if flight is not None and self._goes_in_flight(waiting, flight):
            return self._held is None
        self._meter.now_doing(Activity.BUSY)
        self._turn.flush()
        self._run(self._stages[waiting.stage], waiting)
        return True

    @property
    def can_run(self) -> bool:
        """True: a row was waiting for those in flight, and none is any more."""
        return self._held is not None and self._flights[self._held.stage].idle

    def waits(self, stage: SlotStage) -> bool:
        """True: a row of the stage waits for its next attempt."""
        return self._retries.waits(stage.number)

    def nap_s(self) -> float | None:
        """Until the next one is due."""
        due = self._retries.next_due_s()
        return None if due is None else due - self._retries.now_s()

    def _run(self, stage: SlotStage, waiting: WaitingRow) -> None:
        """In a turn of its own."""
        self._turn.begin_retry(stage, waiting)
        mark = _mark(waiting)
        blamed = self._suspicion.blamed(mark)
        if blamed is not None:
            self._calls.tell(mark, self._errors.retry_lost, stage, waiting, blamed)
        else:
            self._calls.pause_before(mark)
            self._try_again(stage, waiting, mark)
        self._turn.rows_done(stage, 0)
        self._errors.settle(stage)
        error = self._turn.flush_carefully(mark)
        if error is not None:
            stage.spills = []
            self._calls.tell(mark, self._errors.retry_not_encoded, stage, waiting, error)
            self._turn.flush()
        self._turn.send_spooled(stage)

    def _try_again(self, stage: SlotStage, waiting: WaitingRow, mark: Mark) -> None:
        self._calls.name_rows(waiting.key, -1)
        loaded = self._load(waiting, mark)
        if isinstance(loaded, _Unloadable):
            self._calls.tell(mark, self._errors.retry_undecoded, stage, waiting, loaded.error)
            return
        spool = stage.chain.spool
        if spool is not None:
            spool.begin()
        failures = self._calls.call(stage, [loaded], mark, False)
        if spool is not None:
            stage.spills = spool.end(failed=bool(failures))
        stage.forget_moments()  # it comes out of its place, and others may have come before it that are younger
        self._calls.write(stage, mark)
        self._turn.succeeded(stage, 1 - len(failures))
        self._calls.tell(mark, self._errors.retried, stage, waiting, failures[0] if failures else None)

    def _goes_in_flight(self, waiting: WaitingRow, flight: InFlight) -> bool:
        """True: nothing is to be done about a due row here, for now. False: it is to be worked apart, and can be."""
        mark = _mark(waiting)
        apart = self._suspicion.careful(mark)
        if not apart and self._suspicion.blamed(mark) is None:
            loaded = self._load(waiting, mark)
            if isinstance(loaded, _Unloadable):
                return False  # told where it is loaded once more
            flight.retry(waiting, loaded)
            return True
        waits = apart and not flight.idle
        self._held = waiting if waits else None
        flight.hold(waits)
        return waits

    def _load(self, waiting: WaitingRow, mark: Mark) -> Any:
        """The row; `_Unloadable` where it cannot be brought back."""
        self._work.enter(mark, Doing.DECODING)
        try:
            loaded = waiting.load()
        except MemoryError:
            raise
        except BaseException as exc:  # unpickling runs code of the row's class: what it raises is the row's error
            if is_ctrl_c(exc):
                raise
            loaded = _Unloadable(exc)
        self._work.leave()
        return loaded


class _Unloadable:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _mark(waiting: WaitingRow) -> Mark:
    return Mark(waiting.stage, RETRY_INPUT, waiting.number, 0, 1)
