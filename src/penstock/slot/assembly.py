"""Puts a worker together from the plan and the files of its slot; `main` runs what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.channel.bell import Bell, FifoBell, OnePerPath
from penstock.channel.codec import RowCodec
from penstock.channel.gate import EdgeGate, Gate
from penstock.channel.queue import QueueReader, QueueWriter
from penstock.mapped_file import by_mapping
from penstock.metrics.page import Page
from penstock.operator import Context, Hooks
from penstock.plan.paths import RunPaths, channel_name
from penstock.plan.plan import StagePlan
from penstock.plan.topology import Topology, text_of
from penstock.slot.async_rows import Coroutines
from penstock.slot.batches import Out
from penstock.slot.chain import Chain
from penstock.slot.event_loop import EventLoop
from penstock.slot.expansion import Expansion
from penstock.slot.gathered import MOST_ROWS
from penstock.slot.outputs import EdgeOutput, QueueOutput
from penstock.slot.page_steps import PageSteps
from penstock.slot.part import Part
from penstock.slot.queue_inputs import QueueInput, QueueInputs
from penstock.slot.source_input import SourceInput
from penstock.slot.split_input import Reading
from penstock.slot.spool import Spool
from penstock.slot.time_and_chance import Clock
from penstock.slot.timers import RowTimer
from penstock.slot.wake import Wake
from penstock.slot.work import WorkPage


@dataclass(frozen=True, slots=True)
class Assembler:
    """Makes the parts of one slot."""

    topology: Topology
    paths: RunPaths
    slot: int
    attempt: int
    run_id: str
    key: Callable[[], str]
    stopping: Callable[[], bool]
    work: WorkPage
    event_loop: EventLoop | None
    """Where a stage of the slot has coroutines."""
    clock: Clock
    ring: Callable[[], None]
    """Wakes this worker, from any of its threads."""
    _bells: OnePerPath[Bell] = field(default_factory=lambda: OnePerPath(lambda path: FifoBell(path, by_mapping)))

    def _bell(self, stage: str, slot: int) -> Bell:
        """Of a neighbour."""
        return self._bells.of(self.paths.bell(self.topology.plan, stage, slot))

    def part(self, number: int, stage: StagePlan) -> Part:
        """A stage, its files mapped; nothing of the user's is opened yet."""
        plan, settings, workers = self.topology.plan, stage.settings, self.topology.workers(stage.name)
        wake = Wake(self.ring)
        context = Context(
            pipeline=plan.pipeline, stage=stage.name, slot=self.slot, workers=workers, attempt=self.attempt,
            seed=self.run_id, hooks=Hooks(self.key, self.stopping, wake),
        )
        inputs = self._source(stage, context, wake) if stage.source is not None else self._queues(stage)
        edges = [self._edge_output(stage, out.edge) for out in stage.outputs]
        leaves = [out.node for out in stage.outputs] + ([stage.sink_node] if stage.sink is not None else [])
        incoming = plan.inputs(stage.name)
        carries = self.topology.carries_turns(stage)
        deals = not carries and any(edge.turns for edge in edges)
        in_order = settings.ordered or carries or deals  # then a row may not be set apart
        expansion = Expansion(stage.name, settings.row_output_max, lambda: context.idempotency_key, self.clock)
        chain = Chain(
            stage.nodes, leaves, label=stage.name,
            batch_rows=min((edge.batch_rows for edge in incoming), default=MOST_ROWS),
            timer=self._timer(stage), expansion=expansion,
            spool=None if in_order else Spool(self.paths.seat(stage.seat, self.slot).folder, number, expansion),
            coroutines=Coroutines(
                settings.concurrency, settings.timeout_s, self.event_loop, PageSteps(self.work, number)
            ),
        )
        pages = [Page(self.paths.page(plan, stage.name, slot), by_mapping, writable=slot == self.slot)
                 for slot in range(workers)]
        return Part(
            number=number, plan=stage, context=context, inputs=inputs, chain=chain, outs=[Out() for _ in leaves],
            edges=edges, page=pages[self.slot], sibling_pages=pages, carries_turns=carries,
            deals_turns=deals,
        )

    def _timer(self, stage: StagePlan) -> RowTimer | None:
        timeout_s = stage.settings.timeout_s
        if timeout_s is None or any(node.operator.is_async for node in stage.nodes):
            return None
        return RowTimer(timeout_s, self.work.still)

    def _source(self, stage: StagePlan, context: Context, wake: Wake) -> SourceInput:
        assert stage.source is not None
        reading = Reading(
            stage.source, context, self.run_id, self.clock, row_type=stage.source_type,
            gather_rows=MOST_ROWS if any(node.operator.batch for node in stage.nodes) else 0,
        )
        return SourceInput(reading, self.topology.splits(stage, self.slot), frozenset(stage.splits), wake)

    def _queues(self, stage: StagePlan) -> QueueInputs:
        topology = self.topology
        queues: list[QueueInput] = []
        gates: list[EdgeGate] = []
        for port, edge in enumerate(topology.plan.inputs(stage.name)):
            senders, first = topology.senders(edge, self.slot), len(queues)
            for sender in senders:
                path = self.paths.queue(edge, sender, self.slot)
                bell = self._bell(edge.sender, sender)
                name = channel_name(edge, sender, self.slot)
                queues.append(QueueInput(QueueReader(path, by_mapping, bell), RowCodec(edge.row_type), name, port))
            merges = edge.merge and len(senders) > 1
            gates.append(EdgeGate(range(first, len(queues)), merges, stride=topology.stride(edge)))
        names = [edge.name for edge in topology.plan.inputs(stage.name)]
        return QueueInputs(queues, Gate(gates, len(queues)), self.run_id, names, self.clock)

    def _edge_output(self, stage: StagePlan, name: str) -> EdgeOutput:
        topology = self.topology
        edge = topology.plan.edge(name)
        queues = []
        text = text_of(topology.plan, edge)
        for receiver in topology.receivers(edge, self.slot):
            path = self.paths.queue(edge, self.slot, receiver)
            bell = self._bell(edge.receiver, receiver)
            queues.append(QueueOutput(QueueWriter(path, by_mapping, bell), RowCodec(edge.row_type), text))
        timer = RowTimer(edge.timeout_s, self.work.still) if edge.timeout_s is not None and callable(edge.key) else None
        return EdgeOutput(
            edge, topology.route(edge), queues, turns=topology.counts_turns(edge),
            key_table=topology.key_table(edge), timer=timer, clock=self.clock,
        )
