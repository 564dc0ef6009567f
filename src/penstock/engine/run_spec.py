"""What a run consists of: the files to make, what the supervisor is told, what readers of the status are told. Pure.

All follows from the topology. Paths in what is told are relative to the run directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from penstock.channel.queue_file import file_bytes
from penstock.metrics.layout import EdgeLayout, Layout, StageLayout
from penstock.plan.paths import RunPaths
from penstock.plan.topology import Channel, Slot, Topology
from penstock.slot.records.life import Crash
from penstock.slot.records.record import Record, first_record
from penstock.supervisor.protocol import CheckpointSpec, RunSpec, SlotSpec, StageSpec

_SLOT_BYTES = 64 * 1024
"""About what the small files of one slot take."""
_IN_RUN = RunPaths(Path())


# Files to make.


class QueueFile(msgspec.Struct, frozen=True):
    """A queue to reserve."""

    path: Path
    capacity: int


class SlotFiles(msgspec.Struct, frozen=True):
    """The files of a slot. Where the calling process reads (`caller`), a journal and a bell are all there is."""

    group: str
    number: int
    caller: bool
    journal: Path
    record: Record
    """What the journal says before the first life."""
    pages: tuple[Path, ...]


def queue_files(topology: Topology, paths: RunPaths) -> list[QueueFile]:
    """All queues of a run."""
    return [QueueFile(_queue(paths, channel), channel.edge.channel_bytes) for channel in topology.channels()]


def slot_files(topology: Topology, paths: RunPaths) -> Iterator[SlotFiles]:
    """What each slot needs."""
    for slot in topology.slots():
        journal = paths.caller_journal if slot.caller else paths.slot(slot.group, slot.number).journal
        pages = () if slot.caller else tuple(
            paths.page(topology.plan, stage.name, slot.number) for stage in slot.stages
        )
        yield SlotFiles(slot.group, slot.number, slot.caller, journal, first_record(topology, slot), pages)


def bytes_needed(topology: Topology) -> int:
    """About what all files of a run take."""
    queues = sum(file_bytes(channel.edge.channel_bytes) for channel in topology.channels())
    return queues + _SLOT_BYTES * sum(len(slot.stages) for slot in topology.slots())


# What the supervisor is told.


def run_spec(
    topology: Topology, *, run_id: str, dead_letters: Path, crashes: Mapping[str, Sequence[Crash]], program: bytes,
    preload: tuple[str, ...], log_level: int, left_to: Path | None, layout: Mapping[str, str] | None = None,
    checkpoint: CheckpointSpec | None = None, positions: Path | None = None,
) -> RunSpec:
    """All of it. `program`, `preload`: for the zygote; `layout`: the plan's fingerprint."""
    plan = topology.plan
    return RunSpec(
        pipeline=plan.pipeline, run_id=run_id, dead_letters=str(dead_letters),
        slots=tuple(_slot_spec(topology, slot, crashes) for slot in topology.slots() if not slot.caller),
        stages=tuple(
            StageSpec(
                stage.name, tuple(_pages(topology, stage.name)),
                gives_up=stage.settings.on_error.give_up_after is not None,
            )
            for stage in plan.stages.values() if not stage.caller
        ),
        queues=tuple(str(_queue(_IN_RUN, channel)) for channel in topology.channels()),
        caller_queues=_caller_queues(topology),
        left_to=None if left_to is None else str(left_to),
        program=program, preload=preload, log_level=log_level, drains_to_finish=not plan.bounded,
        layout=dict(layout or {}), checkpoint=checkpoint, positions="" if positions is None else str(positions),
        outputs=tuple(
            claim for stage in plan.stages.values() if stage.sink is not None for claim in stage.sink.claims
        ),
    )


def _slot_spec(topology: Topology, slot: Slot, crashes: Mapping[str, Sequence[Crash]]) -> SlotSpec:
    settings = [stage.settings for stage in slot.stages]
    row_stages = [stage for stage in slot.stages if stage.settings.timeout_s is not None]
    has_batch_functions = any(node.operator.batch for stage in slot.stages for node in stage.nodes)
    return SlotSpec(
        slot.group, slot.number, tuple(stage.name for stage in slot.stages),
        timeout_s=min((s.settings.timeout_s for s in row_stages if s.settings.timeout_s is not None), default=None),
        max_restarts=min((s.max_restarts for s in settings), key=lambda rate: rate[0] / rate[1]),
        bisects=has_batch_functions or any(stage.sink for stage in slot.stages),
        senders=_bells(topology, topology.sending_neighbours(slot)),
        receivers=_bells(topology, topology.receiving_neighbours(slot)),
        crashes=tuple(crash for stage in slot.stages for crash in crashes.get(stage.name, ())),
        unavailable_for_s=min(s.unavailable_for_s for s in settings),
    )


def _bells(topology: Topology, slots: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(_IN_RUN.bell(topology.plan, stage, number)) for stage, number in slots))


def _pages(topology: Topology, stage: str) -> list[str]:
    return [str(_IN_RUN.page(topology.plan, stage, number)) for number in range(topology.workers(stage))]


def _caller_queues(topology: Topology) -> tuple[str, ...]:
    return tuple(
        str(_queue(_IN_RUN, channel)) for channel in topology.channels()
        if topology.plan.stages[channel.edge.receiver].caller
    )


def _queue(paths: RunPaths, channel: Channel) -> Path:
    return paths.queue(channel.edge, channel.sender, channel.receiver)


# What readers of the status are told.


def layout_of(topology: Topology, started_s: float) -> Layout:
    """Stages and edges, and the files that show what becomes of them."""
    stages = [
        StageLayout(
            stage.name, stage.slot_group, topology.workers(stage.name),
            [] if stage.caller else _pages(topology, stage.name),
            None if stage.source is None else stage.source.rows, stage.caller,
        )
        for stage in topology.plan.stages.values()
    ]
    edges = []
    for edge in topology.plan.edges:
        pairs = topology.pairs(edge)
        queues = [str(_IN_RUN.queue(edge, sender, receiver)) for sender, receiver in pairs]
        edges.append(EdgeLayout(edge.name, edge.sender, edge.receiver, len(pairs) * edge.channel_bytes, queues))
    return Layout(topology.plan.pipeline, started_s, stages, edges)
