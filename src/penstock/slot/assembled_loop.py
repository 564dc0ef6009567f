"""The loop of a slot put together, over the world that it is given; `worker` runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from penstock.slot.input.decoding import Decoding
from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.suspicion import Suspicion
from penstock.slot.loop import SlotLoop
from penstock.slot.ports import Keeping, World
from penstock.slot.process.pauses import Pauses
from penstock.slot.records.committed_log import Participant
from penstock.slot.records.dead_letter_file import DEAD_LETTERS
from penstock.slot.records.life import Life
from penstock.slot.records.record import STATE, Record
from penstock.slot.records.retries import RETRIES
from penstock.slot.running.called_ahead import CalledAhead
from penstock.slot.running.calls import Calls
from penstock.slot.running.due_retries import DueRetries
from penstock.slot.running.gathered_calls import GatheredRunner
from penstock.slot.running.gathering import Gathering
from penstock.slot.running.in_flight import InFlight
from penstock.slot.running.passing_time import PassingTime
from penstock.slot.running.ready_rows import ReadyRows
from penstock.slot.running.runner import PlainRunner, Runner
from penstock.slot.sleeping import Sleeping
from penstock.slot.turn.backpressure import Backpressure
from penstock.slot.turn.commit import Commit
from penstock.slot.turn.durable_commits import DurableCommits
from penstock.slot.turn.last_error import LastErrors
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.row_errors import RowErrors
from penstock.slot.turn.sending import Sending
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn


class AssembledLoop:
    """For one life of a slot."""

    def __init__(
        self, stages: Sequence[SlotStage], record: Record, keeping: Keeping, world: World, life: Life, *, pipeline: str,
        meter: Meter,
    ) -> None:
        """`stages`: open, and restored from `record`."""
        record.run_id = life.run_id  # the first record knows of none
        self._keeping = keeping
        self._world = world
        self._meter = meter
        self._suspicion = Suspicion(life)
        self._errors = RowErrors(pipeline, keeping.dead_letters, keeping.retries, world.clock, world.pickled)
        self._durable = DurableCommits(stages, record.number, keeping.durable, world.ask_for_checkpoint)
        self._turn = self._turn_of(stages, record)
        pauses = Pauses(keeping.bell, keeping.waiter, keeping.control, world.clock, world.look_s)
        self._calls = Calls(
            turn=self._turn, errors=self._errors, pauses=pauses, suspicion=self._suspicion,
            work=keeping.work, crash=world.crash, clock=world.clock,
        )
        for stage in stages:
            if isinstance(stage.inputs, QueueInputs):
                stage.inputs.decoding = Decoding(
                    stage.number, keeping.work, self._suspicion, flush=self._turn.flush, pause=pauses.pause
                )
        sleeping = Sleeping(stages, keeping.bell, keeping.waiter, meter)
        self._loop = SlotLoop(
            turn=self._turn, errors=self._errors, sleeping=sleeping, work=keeping.work, control=keeping.control,
            durable=self._durable, clock=world.clock,
        )
        self._runners = [self._runner(stage) for stage in stages]
        self._time = self._time_of(stages, pauses)

    def run(self) -> None:
        """Until the input is through."""
        self.begin().run()

    def begin(self) -> SlotLoop:
        """For those who let it do one thing after the other."""
        due = DueRetries(
            self._runners, self._calls, turn=self._turn, errors=self._errors, retries=self._keeping.retries,
            suspicion=self._suspicion, work=self._keeping.work, meter=self._meter,
        )
        self._loop.begin(self._runners, due, self._time)
        return self._loop

    def idempotency_key(self) -> str:
        """The name of the row in progress."""
        return self._calls.idempotency_key()

    def _time_of(self, stages: Sequence[SlotStage], pauses: Pauses) -> PassingTime:
        """How time passes in them, where anybody asks."""
        keeping, rows = self._keeping, None
        for stage in stages:
            if stage.time is not None:
                from penstock.slot.running.timed_rows import TimedRows  # the verbs that need it name it; others do not

                stage.time.held_back = partial(keeping.retries.held_back, stage.number)
                stage.time.calls = [call for _, call in stage.chain.keyed_calls]
                rows = rows or TimedRows(
                    turn=self._turn, errors=self._errors, pauses=pauses, work=keeping.work, control=keeping.control,
                    meter=self._meter, between=self._loop.let_coroutines_run,
                )
        return PassingTime(stages, rows, turn=self._turn, clock=self._world.clock)

    def _turn_of(self, stages: Sequence[SlotStage], record: Record) -> Turn:
        keeping, world, crash = self._keeping, self._world, self._world.crash
        participants: dict[str, Participant] = {DEAD_LETTERS: keeping.dead_letters, RETRIES: keeping.retries}
        told: list[Callable[[SlotStage], None]] = [self._meter.committed, self._durable.committed]
        if keeping.state is not None:
            participants[STATE] = keeping.state
            told.append(keeping.state.committed)
        last_errors = LastErrors(world.paths.last_errors, world.clock, world.files)
        commit = Commit(
            stages, keeping.journal, record, participants=participants, bell=keeping.bell, crash=crash,
            told=(*told, last_errors.tell, *world.when_open()),
        )
        backpressure = Backpressure(keeping.bell, keeping.waiter, self._meter, keeping.control, world.look_s)
        return Turn(
            stages, sending=Sending(backpressure, keeping.work, crash), commit=commit, errors=self._errors,
            work=keeping.work, meter=self._meter, crash=crash, clock=world.clock,
        )

    def _runner(self, stage: SlotStage) -> Runner:
        """How the stage works through its input."""
        keeping, world, chain = self._keeping, self._world, stage.chain
        if chain.async_rows is not None:
            ready = ReadyRows(stage, self._suspicion, keeping.work)
            ahead = CalledAhead(stage, chain.async_rows, ready, errors=self._errors, crash=world.crash)
            return InFlight(
                stage, self._calls, ahead, turn=self._turn, errors=self._errors, retries=keeping.retries,
                suspicion=self._suspicion, work=keeping.work,
            )
        if chain.has_batch_operators and not stage.carries_turns:  # what is put together has no turn
            gathering = Gathering(
                stage, self._suspicion, most=chain.batch_rows, rows=chain.asked_rows or None, wait_s=chain.wait_s,
                clock=world.clock,
            )
            return GatheredRunner(
                stage, self._calls, gathering, turn=self._turn, errors=self._errors, retries=keeping.retries,
                meter=self._meter, control=keeping.control,
            )
        return PlainRunner(
            stage, self._calls, turn=self._turn, retries=keeping.retries, meter=self._meter, control=keeping.control,
            between=self._loop.let_coroutines_run,
        )
