"""The life of a worker: take a batch, run the chain, append, commit, publish, ring; sleep when there is nothing.

A turn is what lies between two commits: one batch, or as many as came while the receivers were busy. `commit` makes
it happen, `row_errors` decides about rows that fail, `suspicion` about rows that kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from penstock.channel.bell import Bell, Sleep, Waits
from penstock.ctrl_c import is_ctrl_c
from penstock.metrics.catalogue import Activity
from penstock.slot.async_rows import current_key
from penstock.slot.batches import batch_slice, row_at
from penstock.slot.control import Control
from penstock.slot.crash_points import CrashPoints
from penstock.slot.decoding import Decoding
from penstock.slot.failure import Failure
from penstock.slot.forks import leave_if_child
from penstock.slot.gathering import Gathering, Span, Together, spans_of
from penstock.slot.in_flight import InFlight
from penstock.slot.meter import Meter
from penstock.slot.part import Part
from penstock.slot.pauses import Pauses
from penstock.slot.queue_inputs import QueueInputs
from penstock.slot.retries import RetryFile, WaitingRow, now_s
from penstock.slot.row_errors import RowErrors, StageEnd
from penstock.slot.spool import GivesTooMuch
from penstock.slot.stops import StageFailed, Stopped
from penstock.slot.suspicion import Suspicion
from penstock.slot.turn import Turn
from penstock.slot.unit import Unit
from penstock.slot.work import RETRY_INPUT, Doing, Mark, WorkPage

SAFETY_POLL_S: Final = 2.0
"""A sleeper looks around this often even when nobody rings."""
_STARVING_S: Final = 0.005
"""Coroutines get a round of their event loop at least so often, whatever other stages in the slot do."""


VERDICT_POLL_S: Final = 0.05
"""Other slots do not ring when a first row of theirs has succeeded."""


class SlotLoop:
    """Runs the stages of one slot until their input is through."""

    def __init__(
        self, parts: Sequence[Part], *, turn: Turn, errors: RowErrors, pauses: Pauses, suspicion: Suspicion,
        retries: RetryFile, bell: Bell, waiter: Waits, work: WorkPage, control: Control, meter: Meter,
        crash: CrashPoints,
    ) -> None:
        self._parts = tuple(parts)
        self._turn = turn
        self._errors = errors
        self._pauses = pauses
        self._suspicion = suspicion
        self._retries = retries
        self._bell = bell
        self._waiter = waiter
        self._work = work
        self._control = control
        self._meter = meter
        self._crash = crash
        self._current = 0
        self._key = ""
        self._key_row = 0
        self._in_call: Part | None = None
        self._undecided = False
        """True: a stage is through, and other slots decide whether its failed rows are letters or its failure."""
        for part in parts:
            if isinstance(part.inputs, QueueInputs):
                part.inputs.decoding = Decoding(part.number, work, suspicion, flush=turn.flush, pause=pauses.pause)
        self._flights: dict[int, InFlight] = {}
        """The rows in flight of the async stages, by the stage's number."""
        for part in self._parts:
            rows = part.chain.async_rows
            if rows is not None:
                self._flights[part.number] = InFlight(
                    part, rows, turn=turn, errors=errors, suspicion=suspicion, retries=retries, work=work, crash=crash,
                    write=self._write, tell=self._tell,
                )
        self._gatherings: dict[int, Gathering] = {}
        """What waits for the batch functions of stages, by the stage's number."""
        for part in self._parts:
            chain = part.chain
            if chain.has_batch_operators and not part.carries_turns:  # what is put together has no turn
                self._gatherings[part.number] = Gathering(
                    part, suspicion, most=chain.batch_rows, rows=chain.asked_rows or None, wait_s=chain.wait_s
                )
        self._held_retry: WaitingRow | None = None
        """Due, and to be worked apart from what is in flight."""
        self._ran_coroutines_at = 0.0

    def run(self) -> None:
        """Until every stage of the slot has finished."""
        for part in self._parts:
            self._turn.send_spooled(part)
        while any(not part.finished for part in self._parts):
            if self._step():
                continue
            patience = self._turn.collects_for() if self._turn.pending else SAFETY_POLL_S
            if self._turn.pending and (patience <= 0 or self._control.draining):
                self._turn.flush()
            else:
                self._sleep(patience)

    def idempotency_key(self) -> str:
        """The name of the row in work."""
        key = current_key()
        if key is not None:
            return key
        part = self._in_call
        row = part.chain.row_in_work if part is not None else None
        if part is None or row is None:
            raise RuntimeError("idempotency_key names the row in work; read it inside a call, not outside")
        return f"{self._key}/{self._key_row + row}" if self._key_row >= 0 else self._key

    def _step(self) -> bool:
        """Do one thing. False: there is nothing to do now."""
        self._work.beat()
        self._undecided = False
        if self._control.stopping:
            raise Stopped
        if self._control.draining:
            for part in self._parts:
                part.inputs.stop()
        self._let_coroutines_run()
        if len(self._retries) and self._run_due_retry():
            return True
        return any(not part.finished and self._step_part(part) for part in self._at_work())

    def _step_part(self, part: Part) -> bool:
        """The same for one stage."""
        if part.number in self._flights:
            return self._step_in_flight(part, self._flights[part.number])
        if part.number in self._gatherings:
            return self._step_gathered(part, self._gatherings[part.number])
        unit = None if self._retries.full else self._take(part)
        if unit is not None:
            self._run_unit(part, unit)
            if not self._turn.pending:
                self._next_part()
            return True
        return self._finish_if_through(part)

    def _finish_if_through(self, part: Part) -> bool:
        if part.inputs.ended and not self._retries.waits(part.number):
            if self._errors.may_finish(part, draining=self._control.draining):
                self._finish(part)
                return True
            self._undecided = True
        return False

    def _take(self, part: Part) -> Unit | None:
        try:
            return part.inputs.take()
        except StageFailed:  # what is read is damaged: the rows before it are given out
            if self._turn.pending:
                self._turn.flush()
            raise

    def _at_work(self) -> Iterator[Part]:
        """Stages that share a slot take turns; one goes on until its turn is through, for a switch ends it."""
        for _ in self._parts:
            yield self._parts[self._current]
            if self._collects():
                return
            self._next_part()

    def _next_part(self) -> None:
        self._current = (self._current + 1) % len(self._parts)

    def _collects(self) -> bool:
        """True: the current stage's transaction waits for more of its own rows, and those of others wait for it."""
        return self._turn.pending and self._turn.collects_for() > 0 and not self._control.draining

    def _step_in_flight(self, part: Part, flight: InFlight) -> bool:
        """The same for a stage whose rows are coroutines."""
        unit = flight.next_apart()
        if unit is not None:
            flight.begin()
            self._run_next(part, unit)
            flight.worked_apart(unit)
            return True
        if flight.step():
            if not self._turn.pending:
                self._next_part()
            return True
        return flight.empty and self._finish_if_through(part)

    def _step_gathered(self, part: Part, gathering: Gathering) -> bool:
        """The same for a stage with batch functions, which are given what waits together."""
        if not self._retries.full:
            gathering.fill()
        if not gathering:
            if gathering.damage is not None:
                self._turn.flush()
                raise gathering.damage
            return self._finish_if_through(part)
        rows = gathering.due(patient=not self._control.draining)
        if not rows and gathering.first.left:
            return False
        self._run_gathered(part, gathering, rows)
        if self._control.stopping:
            raise Stopped
        if not self._turn.pending:
            self._next_part()
        return True

    def _run_gathered(self, part: Part, gathering: Gathering, rows: int) -> None:
        self._meter.now_doing(Activity.BUSY)
        together = gathering.together(part.piece_rows(rows)) if rows else None
        if together is not None:
            self._run_together(part, gathering, *together)
        else:
            unit = gathering.first
            if gathering.begins(unit):
                self._turn.begin(part, unit)
            done = unit.done
            if unit.left:
                self._run_next(part, unit)
            else:
                self._advance(part, unit, 0)
            gathering.took(unit.done - done)
        if part.deals_turns:
            self._turn.flush()

    def _run_together(self, part: Part, gathering: Gathering, batch: object, spans: list[Span]) -> None:
        """Rows of several batches in one call; those that fail meet their fate as rows of their own batch."""
        rows = sum(span.rows for span in spans)
        if gathering.begins(spans[0].unit):
            self._turn.begin(part, spans[0].unit)
        mark, stops = self._turn.mark_of_all(part, rows), self._errors.stops_at_failure(part)
        began = time.monotonic()
        failures = self._call(part, batch, mark, stops, Together(spans))
        part.took(rows, time.monotonic() - began)
        through = failures[0].index if failures and stops else rows
        self._turn.succeeded(part, through if stops else rows - len(failures))
        self._write(part, mark)
        for first, span in spans_of(spans):
            if gathering.begins(span.unit):
                self._turn.begin(part, span.unit)
            mine = [failure for failure in failures if first <= failure.index < first + span.rows]
            self._advance_span(part, gathering, span, mine, first, min(through - first, span.rows), stops)
            if stops and mine:
                break
        self._errors.settle(part)
        self._turn.go_on(part)

    def _advance_span(
        self, part: Part, gathering: Gathering, span: Span, failures: Sequence[Failure], first: int, rows: int,
        stops: bool,
    ) -> None:
        """`failures`: of this batch, their indices counted through the call, in which its rows begin at `first`."""
        unit = span.unit
        batch = self._untouched(unit, self._mark(part, unit), unit.done, span.rows) if failures else []
        own = [Failure(failure.index - first, failure.error, failure.operator) for failure in failures]
        for failure in () if stops else own:
            mark = self._mark(part, unit, unit.done + failure.index)
            self._tell(mark, self._errors.failed, part, unit, batch, failure)
        self._advance(part, unit, rows)
        if stops and own:
            self._try_in_place(part, unit, batch, own[0])
            rows += 1
        gathering.took(rows)

    def _let_coroutines_run(self) -> None:
        """Where stages share the slot, one that has much to do must not keep the coroutines of another waiting."""
        if self._flights and len(self._parts) > 1 and time.monotonic() >= self._ran_coroutines_at + _STARVING_S:
            for flight in self._flights.values():
                flight.let_run()
            self._ran_coroutines_at = time.monotonic()

    def _run_unit(self, part: Part, unit: Unit) -> None:
        self._meter.now_doing(Activity.BUSY)
        self._turn.begin(part, unit)
        if unit.length == 0:
            self._advance(part, unit, 0)
        while unit.done < unit.length:
            self._run_next(part, unit)
            if self._control.stopping:
                raise Stopped  # a batch of slow rows may take minutes
            self._let_coroutines_run()
        if part.carries_turns or part.deals_turns:
            self._turn.flush()

    def _run_next(self, part: Part, unit: Unit) -> None:
        """The next rows of a batch, as many as go in one piece."""
        mark = self._mark(part, unit)
        blamed = self._suspicion.blamed(mark)
        careful = self._suspicion.careful(mark)
        if careful and self._turn.pending:
            self._turn.flush()  # what is marked is what is not committed
        if blamed is not None or unit.done in unit.failures:
            self._tell(mark, self._errors.never_called, part, unit, blamed)
            self._advance(part, unit, 1)
        else:
            self._run_piece(part, unit, mark, careful)
        self._errors.settle(part)
        if careful:
            self._turn.flush()
        else:
            self._turn.go_on(part)

    def _run_piece(self, part: Part, unit: Unit, mark: Mark, careful: bool) -> None:
        """Run the next rows; rows that fail meet their fate."""
        rows = self._piece(part, unit, mark)
        mark = mark.over(rows)
        if careful:
            self._pauses.pause(self._suspicion.pause_s(mark))
        self._key, self._key_row = unit.key, unit.first_row + unit.done
        batch = batch_slice(unit.batch, unit.done, unit.done + rows)
        stops = self._errors.stops_at_failure(part)
        began = time.monotonic()
        failures = self._call(part, batch, mark, stops, unit)
        part.took(rows, time.monotonic() - began)
        if failures:
            batch = self._untouched(unit, mark, unit.done, rows)
        if failures and stops:
            rows = failures[0].index
        self._turn.succeeded(part, rows if stops else rows - len(failures))
        self._write(part, mark)
        if not stops:
            for failure in failures:
                row = Mark(mark.part, mark.input, mark.sequence, mark.row + failure.index, 1)
                self._tell(row, self._errors.failed, part, unit, batch, failure)
            failures = []
        if failures and isinstance(failures[0].error, GivesTooMuch):
            row = Mark(mark.part, mark.input, mark.sequence, mark.row + rows, 1)
            self._tell(row, self._errors.failed, part, unit, batch, failures[0])
            failures, rows = [], rows + 1
        self._advance(part, unit, rows)
        if failures:
            self._try_in_place(part, unit, batch, failures[0])
        if careful:
            error = self._turn.flush_carefully(mark)
            if error is not None:
                batch = self._untouched(unit, mark, unit.done - 1, 1)
                self._tell(mark, self._errors.not_encoded, part, batch, error)

    def _try_in_place(self, part: Part, unit: Unit, batch: object, failure: Failure) -> None:
        """The next row of the unit has failed, and those behind it wait: try it again until its fate is known."""
        again = self._mark(part, unit)
        self._key, self._key_row = unit.key, again.row
        attempts, last = 1, failure
        while (after_s := self._errors.in_place(part, last, attempts)) is not None:
            if self._turn.pending:
                self._turn.flush()  # what is through already need not wait
            part.counts.retries += 1
            self._pauses.pause(after_s)
            attempts += 1
            row = row_at(unit.rows_anew(1), 0)
            failures = self._call(part, [row], again, True)
            if not failures:
                self._turn.succeeded(part, 1)
                break
            last = failures[0]
        else:
            self._tell(again, self._errors.failed_for_good, part, batch, failure.index, last, attempts)
        self._write(part, again)
        self._advance(part, unit, 1)

    def _untouched(self, unit: Unit, mark: Mark, first: int, rows: int) -> object:
        """Rows of a unit as they came, for their fates. Making them again is the user's code, too."""
        self._work.enter(mark, Doing.TELLING)
        batch = batch_slice(unit.untouched(), first, first + rows)
        self._work.leave()
        return batch

    def _call(
        self, part: Part, batch: object, mark: Mark, stops: bool, origin: Unit | Together | None = None
    ) -> list[Failure]:
        """`origin`: what can make the rows anew, which functions may have changed in place before one raised."""
        self._in_call = part
        self._crash.reached("in_user_code", part.counts.rows_in + mark.count)
        self._work.enter(mark)
        failures = part.chain.run(batch, part.outs, stop_at_failure=stops, origin=origin)
        leave_if_child(failures)
        self._work.leave()
        self._in_call = None
        return failures

    def _tell(self, mark: Mark, decide: Callable[..., StageEnd | None], *about: Any) -> None:
        """Decide about a row. Its words, its error's and its pickle are the user's code, too."""
        self._work.enter(mark, Doing.TELLING)
        end = decide(*about)
        self._work.leave()
        self._turn.carry_out(end)

    def _write(self, part: Part, mark: Mark) -> None:
        if part.sink is not None:
            self._work.enter(mark)
            self._turn.write(part, mark.count)
            leave_if_child()
            self._work.leave()

    def _advance(self, part: Part, unit: Unit, rows: int) -> None:
        unit.done += rows
        part.inputs.progress(unit)
        self._turn.took(part, rows)
        self._suspicion.took(rows)

    def _piece(self, part: Part, unit: Unit, mark: Mark) -> int:
        rows = min(part.piece_rows(unit.length - unit.done), self._suspicion.piece(mark))
        # A row that must not be called for ends the piece.
        for index in range(unit.done + 1, unit.done + rows) if self._suspicion.any_blamed or unit.failures else ():
            if index in unit.failures or self._suspicion.blamed(self._mark(part, unit, index)) is not None:
                return index - unit.done
        return rows

    def _mark(self, part: Part, unit: Unit, index: int | None = None) -> Mark:
        row = unit.first_row + (unit.done if index is None else index)
        return Mark(part.number, unit.input, unit.sequence, row, 1)

    def _run_due_retry(self) -> bool:
        waiting = self._held_retry or self._retries.take_due(now_s())
        if waiting is None:
            return False
        if waiting.part in self._flights and self._goes_in_flight(waiting, self._flights[waiting.part]):
            return self._held_retry is None
        self._meter.now_doing(Activity.BUSY)
        self._turn.flush()
        part = self._parts[waiting.part]
        self._turn.begin_retry(part, waiting)
        mark = Mark(part.number, RETRY_INPUT, waiting.number, 0, 1)
        blamed = self._suspicion.blamed(mark)
        if blamed is not None:
            self._tell(mark, self._errors.retry_lost, part, waiting, blamed)
        else:
            self._pauses.pause(self._suspicion.pause_s(mark))
            self._try_again(part, waiting, mark)
        self._turn.took(part, 0)
        self._errors.settle(part)
        error = self._turn.flush_carefully(mark)
        if error is not None:
            part.spills = []
            self._tell(mark, self._errors.retry_not_encoded, part, waiting, error)
            self._turn.flush()
        self._turn.send_spooled(part)
        return True

    def _try_again(self, part: Part, waiting: WaitingRow, mark: Mark) -> None:
        self._key, self._key_row = waiting.key, -1
        self._work.enter(mark, Doing.DECODING)
        try:
            row = waiting.load()
        except MemoryError:
            raise
        except BaseException as exc:  # unpickling runs code of the row's class: what it raises is the row's error
            if is_ctrl_c(exc):
                raise
            self._tell(mark, self._errors.retry_undecoded, part, waiting, exc)
            return
        spool = part.chain.spool
        if spool is not None:
            spool.begin()
        failures = self._call(part, [row], mark, False)
        if spool is not None:
            part.spills = spool.end(failed=bool(failures))
        self._write(part, mark)
        self._turn.succeeded(part, 1 - len(failures))
        self._tell(mark, self._errors.retried, part, waiting, failures[0] if failures else None)

    def _goes_in_flight(self, waiting: WaitingRow, flight: InFlight) -> bool:
        """True: nothing is to be done about a due row here, for now. False: it is to be worked apart, and can be."""
        mark = Mark(waiting.part, RETRY_INPUT, waiting.number, 0, 1)
        apart = self._suspicion.careful(mark)
        if not apart and self._suspicion.blamed(mark) is None:
            return self._flies(waiting, flight, mark)
        waits = apart and not flight.idle
        self._held_retry = waiting if waits else None
        flight.hold(waits)
        return waits

    def _flies(self, waiting: WaitingRow, flight: InFlight, mark: Mark) -> bool:
        """Call for a due row beside others; False: it cannot be brought back, which `_try_again` tells."""
        self._work.enter(mark, Doing.DECODING)
        try:
            row = waiting.load()
        except MemoryError:
            raise
        except BaseException as exc:  # told where it is loaded once more
            if is_ctrl_c(exc):
                raise
            return False
        finally:
            self._work.leave()
        flight.retry(waiting, row)
        return True

    def _finish(self, part: Part) -> None:
        """The stage's input is through."""
        if self._turn.pending:
            self._turn.flush()
        self._turn.finish(part)

    def _has_work(self) -> bool:
        for part in (self._parts[self._current],) if self._collects() else self._parts:
            if part.finished:
                continue
            if part.number in self._flights:
                if self._flight_has_work(part, self._flights[part.number]):
                    return True
                continue
            if part.number in self._gatherings:
                if self._gathering_has_work(part, self._gatherings[part.number]):
                    return True
                continue
            if part.inputs.ready() and not self._retries.full:
                return True
            if part.inputs.ended and not self._retries.waits(part.number) and not self._undecided:
                return True
        return False

    def _flight_has_work(self, part: Part, flight: InFlight) -> bool:
        if flight.has_work() or (self._held_retry is not None and flight.idle):
            return True
        if self._undecided:
            return False
        return part.inputs.ended and flight.empty and not self._retries.waits(part.number)

    def _gathering_has_work(self, part: Part, gathering: Gathering) -> bool:
        if gathering and (not gathering.first.left or gathering.due(patient=not self._control.draining)):
            return True
        if gathering.damage is not None and not gathering:
            return True
        if gathering.wants_more() and part.inputs.ready() and not self._retries.full:
            return True
        if gathering or self._undecided:
            return False
        return part.inputs.ended and not self._retries.waits(part.number)

    def _sleeps_for(self) -> int:
        """What a sender is to know: that rows are worked as soon as they come, that they are waited for, or neither."""
        if len(self._flights) + len(self._gatherings) < len(self._parts):
            return Sleep.FOR_INPUT
        why: int = Sleep.FOR_INPUT if any(flight.hungry for flight in self._flights.values()) else Sleep.AWAKE
        for gathering in self._gatherings.values():
            why |= Sleep.FOR_MORE if gathering else Sleep.FOR_INPUT
        return why

    def _sleep(self, patience: float) -> None:
        why = self._sleeps_for()
        self._bell.say_asleep(why)
        if self._has_work():
            self._bell.say_awake()
            return
        self._meter.now_doing(Activity.WAITING_FOR_INPUT if why else Activity.BUSY)
        self._waiter.watch(set().union(*(part.inputs.descriptors() for part in self._parts)))
        ready = self._waiter.wait(min(self._nap(), patience))
        self._bell.say_awake()
        self._ran_coroutines_at = time.monotonic()
        if ready:
            for part in self._parts:
                part.inputs.woken()

    def _nap(self) -> float:
        naps = [VERDICT_POLL_S if self._undecided else SAFETY_POLL_S]
        due = self._retries.next_due_s()
        if due is not None:
            naps.append(due - now_s())
        naps.extend(gathering.waits_s() for gathering in self._gatherings.values() if gathering)
        naps.extend(after for part in self._parts if (after := part.inputs.wake_after()) is not None)
        return max(min(naps), 0.0)
