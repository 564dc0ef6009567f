"""Puts the stages of a slot together, from the plan and what its world has; `worker` runs what comes out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.channel.bell import Bell
from penstock.channel.codec import RowCodec
from penstock.channel.gate import EdgeGate, Gate
from penstock.channel.joined_rows import JoinedRows
from penstock.channel.queue import QueueReader, QueueWriter
from penstock.metrics.page import Page
from penstock.operator import Context, Hooks
from penstock.plan.paths import channel_name
from penstock.plan.plan import StagePlan
from penstock.plan.projection import projection_of
from penstock.plan.topology import Topology, text_of
from penstock.slot.input.batches import Out
from penstock.slot.input.gathered import MOST_ROWS
from penstock.slot.input.queue_inputs import QueueInput, QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.input.split_input import Reading
from penstock.slot.input.wake import Wake
from penstock.slot.output.expansion import Expansion
from penstock.slot.output.outputs import EdgeOutput, QueueOutput
from penstock.slot.output.spool import Spool
from penstock.slot.ports import World
from penstock.slot.process.row_timeout import RowTimer
from penstock.slot.records.life import Life
from penstock.slot.records.work_page import WorkPage
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.user_code.async_rows import Coroutines
from penstock.slot.user_code.chain import Chain
from penstock.slot.user_code.event_loop import EventLoop
from penstock.slot.user_code.page_steps import PageSteps
from penstock.slot.watermarks.stage_time import StageTime


class Assembler(msgspec.Struct, frozen=True):
    """Makes the stages of one slot."""

    topology: Topology
    world: World
    life: Life
    work: WorkPage
    event_loop: EventLoop | None
    """Where a stage of the slot has coroutines."""
    key: Callable[[], str]
    stopping: Callable[[], bool]
    pinned: Callable[[], bool]
    """Whether somebody copies the files that records speak of."""
    ring: Callable[[], None]
    """Wakes this worker, from any of its threads."""

    def _bell(self, stage: str, slot: int) -> Bell:
        """Of a neighbour."""
        return self.world.bell_of(self.world.paths.bell(self.topology.plan, stage, slot))

    def stage(self, number: int, stage: StagePlan) -> SlotStage:
        """A stage, its files mapped; nothing of the user's is opened yet."""
        plan, settings, workers = self.topology.plan, stage.settings, self.topology.workers(stage.name)
        world, life, slot = self.world, self.life, self.life.slot
        wake = Wake(self.ring)
        context = Context(
            pipeline=plan.pipeline, stage=stage.name, slot=slot, workers=workers, attempt=life.attempt,
            run_id=life.run_id, hooks=Hooks(self.key, self.stopping, wake, life.checkpointed),
        )
        inputs = self._source(stage, context, wake) if stage.source is not None else self._queues(stage)
        edges = [self._edge_output(stage, out.edge) for out in stage.outputs]
        leaves = [out.node for out in stage.outputs] + ([stage.sink_node] if stage.sink is not None else [])
        incoming = plan.inputs(stage.name)
        carries = self.topology.carries_turns(stage)
        deals = not carries and any(edge.turns for edge in edges)
        in_order = settings.ordered or carries or deals  # then a row may not be set apart
        folder = world.paths.slot(stage.slot_group, slot).folder
        expansion = Expansion(stage.name, settings.row_output_max, lambda: context.idempotency_key, world.clock)
        chain = Chain(
            stage.nodes, leaves, label=stage.name,
            batch_rows=min((edge.batch_rows for edge in incoming), default=MOST_ROWS),
            timer=self._timer(stage), expansion=expansion,
            spool=None if in_order else Spool(folder, number, expansion, world.files, self.pinned),
            coroutines=Coroutines(
                settings.concurrency, settings.timeout_s, self.event_loop, PageSteps(self.work, number)
            ),
        )
        given = stage.event_time
        waits = any(node.operator.uses_state for node in stage.nodes)
        time = StageTime(inputs, given, is_used=stage.timed) if stage.timed or waits else None
        pages = [Page(world.paths.page(plan, stage.name, n), world.opening, writable=n == slot) for n in range(workers)]
        made = SlotStage(number, stage, context, inputs, chain, [Out() for _ in leaves], edges, pages)
        made.carries_turns, made.deals_turns, made.time = carries, deals, time
        if given is not None:
            made.give_moments()
        return made

    def _timer(self, stage: StagePlan) -> RowTimer | None:
        timeout_s = stage.settings.timeout_s
        if timeout_s is None or any(node.operator.is_async for node in stage.nodes):
            return None
        return self.world.timer_of(timeout_s, self.work.runs_since)

    def _source(self, stage: StagePlan, context: Context, wake: Wake) -> SourceInput:
        assert stage.source is not None
        reading = Reading(
            stage.source, context, self.life.run_id, self.world.clock, row_type=stage.source_type,
            gather_rows=MOST_ROWS if any(node.operator.batch for node in stage.nodes) else 0,
            gives_times=stage.event_time is not None,
        )
        return SourceInput(reading, self.topology.splits(stage, self.life.slot), frozenset(stage.splits), wake)

    def _queues(self, stage: StagePlan) -> QueueInputs:
        topology, world, slot = self.topology, self.world, self.life.slot
        projection = projection_of(topology.plan, stage)
        queues: list[QueueInput] = []
        gates: list[EdgeGate] = []
        for port, edge in enumerate(topology.plan.inputs(stage.name)):
            senders, first = topology.senders(edge, slot), len(queues)
            for sender in senders:
                path, bell = world.paths.queue(edge, sender, slot), self._bell(edge.sender, sender)
                reader = QueueReader(path, world.opening, bell, world.files)
                name = channel_name(edge, sender, slot)
                codec = JoinedRows(edge.row_type) if edge.is_right else RowCodec(edge.row_type, projection)
                queues.append(QueueInput(reader, codec, name, port))
            merges = edge.merge and len(senders) > 1
            gates.append(EdgeGate(range(first, len(queues)), merges, stride=topology.stride(edge)))
        names = [edge.name for edge in topology.plan.inputs(stage.name)]
        inputs = QueueInputs(queues, Gate(gates, len(queues)), self.life.run_id, names, world.clock)
        inputs.gives_times = stage.event_time is not None
        return inputs

    def _edge_output(self, stage: StagePlan, name: str) -> EdgeOutput:
        topology, world, slot = self.topology, self.world, self.life.slot
        edge = topology.plan.edge(name)
        queues = []
        text = text_of(topology.plan, edge)
        whole = projection_of(topology.plan, topology.plan.stages[edge.receiver]) is None
        for receiver in topology.receivers(edge, slot):
            path, bell = world.paths.queue(edge, slot, receiver), self._bell(edge.receiver, receiver)
            writer = QueueWriter(path, world.opening, bell, world.files)
            queues.append(QueueOutput(writer, RowCodec(edge.row_type, whole_rows=whole), text))
        timer = None
        if edge.timeout_s is not None and callable(edge.key):
            timer = world.timer_of(edge.timeout_s, self.work.runs_since)
        return EdgeOutput(
            edge, topology.route(edge), queues, turns=topology.counts_turns(edge),
            key_table=topology.key_table(edge), timer=timer, clock=world.clock, in_turn=world.one_at_a_time,
        )
