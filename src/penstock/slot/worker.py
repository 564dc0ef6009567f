"""One life of a slot, over whatever world it is given: takes over from the journal, opens, works, closes.

`main` runs it in a process of its own, over files; `penstock.testing` in the test's process, over memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.byte_files import DISK
from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letter_store import letters_file
from penstock.errors import FileUnusable, QueueDamaged, TargetDamaged
from penstock.metrics.catalogue import Activity
from penstock.plan.plan import StagePlan
from penstock.plan.topology import Topology, has_coroutines
from penstock.sink import Sink
from penstock.slot.assembled_loop import AssembledLoop
from penstock.slot.assembly import Assembler
from penstock.slot.output.sink_output import SinkOutput, open_sink
from penstock.slot.ports import Keeping, World
from penstock.slot.process import forks
from penstock.slot.process.stops import StageFailed, Trouble
from penstock.slot.process.user_errors import one_line
from penstock.slot.records.control import Control
from penstock.slot.records.dead_letter_file import DEAD_LETTERS, DeadLetterFile
from penstock.slot.records.durable_word import DurableWord
from penstock.slot.records.journal import Journal
from penstock.slot.records.life import Life
from penstock.slot.records.record import STATE, Record
from penstock.slot.records.retries import RETRIES, RetryFile
from penstock.slot.records.work_page import CLOSES, OPENED, WorkPage
from penstock.slot.turn.meter import Meter
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.user_code.event_loop import EventLoop

if TYPE_CHECKING:
    from penstock.slot.state.slot_state import SlotState


class Worker:
    """One life, assembled. Its files are open, and nothing of the user's is."""

    def __init__(self, topology: Topology, world: World, life: Life, work: WorkPage) -> None:
        self._plan = topology.plan
        self._world = world
        self._life = life
        self._slot_files = world.paths.slot(life.group, life.slot)
        self._work = work
        self._control = Control(world.paths.control, world.opening)
        self._journal = Journal(self._slot_files.journal, world.opening, world.files)
        stages = self._plan.slot_groups()[life.group]
        self.event_loop = EventLoop() if has_coroutines(stages) else None
        self._bell = world.bell_of(self._slot_files.bell)
        self._bell.say_awake()
        assembler = Assembler(
            topology=topology, world=world, life=life, work=work, event_loop=self.event_loop, key=self._key,
            stopping=lambda: self._control.draining or self._control.stopping,
            pinned=lambda: self._control.pinned, ring=self._bell.ring,
        )
        self._stages = [assembler.stage(number, stage) for number, stage in enumerate(stages)]
        self._meter = Meter([stage.page for stage in self._stages], world.clock)
        self._meter.now_doing(Activity.STARTING)
        self._state = _state_of(stages, life, world)
        self._waiter = world.waiter_of(self._bell, self.event_loop)
        self._opens = False
        """True: something of the user's may be open."""
        self._keeping: Keeping | None = None
        self.loop: AssembledLoop | None = None
        """Once everything is open."""

    def run(self) -> None:
        """To the end of the input. Raises what `stops` has, and what else ends a worker."""
        if self.open():
            assert self.loop is not None
            self.loop.run()
        self.close()

    def open(self) -> bool:
        """Take over from the journal, and open what is the user's. False: an earlier life has finished the slot."""
        record = self._journal.load()
        # An earlier life may have died between its commit and its last ring. Queues are restored and published before
        # anything of the user's opens: neighbours need not wait for that.
        self._restore(record)
        self._publish_all()
        if record.finished:
            return False
        self._assemble(self._open(record))
        self._work.say_reached(OPENED)
        return True

    def close(self) -> None:
        """After the last row, or where the life ends early: operators, sinks, sources and files.

        What is not committed never happened. What the user's `close` raises is told.
        """
        if self._opens:
            self._work.beat()
            self._work.say_reached(CLOSES)
            for stage in self._stages:
                self._close(stage)
        if self.event_loop is not None:
            self.event_loop.close()
        if self._keeping is not None:
            self._keeping.dead_letters.close()
            self._keeping.retries.close()
            if self._state is not None:
                self._state.close()
        self._meter.now_doing(Activity.FINISHED)

    def _restore(self, record: Record) -> None:
        for stage, saved in zip(self._stages, record.stages, strict=True):
            stage.restore(saved)
            if self._life.anew:
                stage.counts.failed_before_success = 0

    def _publish_all(self) -> None:
        for stage in self._stages:
            stage.publish(always=True)
            stage.show_counts(commit=False)
            for out in stage.queues:
                out.queue.ring_reader()
            stage.inputs.ring_senders()

    def _open(self, record: Record) -> Record:
        """Open operators and sinks; a transactional sink may know of a newer commit than the journal."""
        newest, self._opens = record, True
        for stage in self._stages:
            try:
                stage.chain.open(stage.context, self._state)
                forks.leave_if_child()
            except BaseException as exc:  # the user's code, be it an exit or a panic; so below
                if is_ctrl_c(exc):
                    raise
                forks.leave_if_child_by(exc)
                raise Trouble(stage.plan.name, f"opening {stage.chain.opening}".rstrip(), exc) from exc
            if stage.sink is None or stage.finished:
                continue
            try:
                stage.sink_output = self._opened_sink(stage, stage.sink)
                stored = stage.sink_output.record_of(self._life.run_id, record.lineage)
                if stored is not None and stored.number > newest.number:
                    newest = stored
            except TargetDamaged as damage:
                raise StageFailed(stage.plan.name, str(damage)) from damage
            except BaseException as exc:
                forks.leave_if_child_by(exc)
                raise Trouble(stage.plan.name, f"opening {stage.sink.target}", exc, of_sink=True) from exc
        if newest.number > record.number:
            # Killed between the sink's transaction and the journal's flip: the transaction counts.
            self._journal.advance(newest)
            self._restore(newest)
            self._publish_all()
        return newest

    def _opened_sink(self, stage: SlotStage, sink: Sink[Any]) -> SinkOutput:
        if not sink.waits_for_checkpoint:
            return open_sink(sink, stage.sink_output.position, stage.context)
        from penstock.slot.output.epoch_output import Place  # most sinks do not wait
        from penstock.slot.output.open_epoch_sink import open_epoch_sink

        types = {edge.row_type for edge in self._plan.inputs(stage.plan.name)}
        place = Place(
            self._slot_files.folder, stage.number, types.pop() if len(types) == 1 else Any, self._life.run_id,
            self._world.files, lambda: self._control.pinned, self._world.crash,
        )
        opened = open_epoch_sink(sink, place, stage.context)
        opened.epoch = stage.sink_output.epoch
        return opened

    def _assemble(self, record: Record) -> None:
        life, world = self._life, self._world
        self._resume_sinks()
        for stage in self._stages:
            if stage.chain.spool is not None:
                stage.chain.spool.clean(spill.name for spill in stage.spills)
        # Only now that the newest record is known, which a sink may have had: the logs are cut to what it counts.
        store = letters_file(Path(life.dead_letters), life.group, life.slot)
        dead_letters = DeadLetterFile(store, record.logs.get(DEAD_LETTERS, ()), world.files)
        retries = RetryFile(
            self._slot_files.retries, record.logs.get(RETRIES, ()), world.clock, world.files,
            lambda: self._control.pinned,
        )
        if life.anew:
            retries.let_go()
        if self._state is not None:
            self._state.open(
                self._slot_files.changelog, record.logs.get(STATE, ()), world.files, lambda: self._control.pinned,
                self._slot_files.state_store if world.files is DISK else None,
            )
        self._keeping = Keeping(
            journal=self._journal, dead_letters=dead_letters, retries=retries, state=self._state, bell=self._bell,
            waiter=self._waiter, control=self._control, work=self._work,
            durable=DurableWord(self._slot_files.durable, world.opening) if life.checkpointed else None,
        )
        self.loop = AssembledLoop(
            self._stages, record, self._keeping, world, life, pipeline=self._plan.pipeline, meter=self._meter
        )

    def _resume_sinks(self) -> None:
        for stage in self._stages:
            try:
                stage.sink_output.resume()
            except TargetDamaged as damage:
                raise StageFailed(stage.plan.name, str(damage)) from damage
            except (QueueDamaged, FileUnusable):
                raise
            except BaseException as exc:  # the sink's code, be it an exit or a panic
                forks.leave_if_child_by(exc)
                raise Trouble(stage.plan.name, "opening the sink", exc, of_sink=True) from exc

    def _close(self, stage: SlotStage) -> None:
        for close in chain(stage.chain.closers(), [stage.sink_output.close, stage.inputs.close]):
            try:
                close()
                forks.leave_if_child()
            except BaseException as exc:  # the work is done and committed; the user should know all the same
                if is_ctrl_c(exc):
                    raise
                forks.leave_if_child_by(exc)
                stage.context.log.warning("closing failed: %s", one_line(exc), exc_info=exc)

    def _key(self) -> str:
        if self.loop is None:
            raise RuntimeError("idempotency_key names the row in progress; read it inside a call, not outside")
        return self.loop.idempotency_key()


def _state_of(stages: Sequence[StagePlan], life: Life, world: World) -> SlotState | None:
    """What keyed stages keep; None: there is none in the slot."""
    if not any(node.operator.uses_state for stage in stages for node in stage.nodes):
        return None
    from penstock.slot.state.slot_state import SlotState  # most workers have no use for it

    caches = {stage.name: stage.settings.state_cache_bytes for stage in stages if stage.settings.state_cache_bytes}
    return SlotState(copies=life.careful > 0, clock=world.clock, caches=caches)
