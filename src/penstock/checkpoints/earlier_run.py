"""The run of a checkpoint, as it is told there: its slots, its queues and records, whatever the plan is now.

Pure, but for what is read of the store. A run that was told to end goes on (`reopen`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from penstock.channel.side_file import ticket_of
from penstock.checkpoints.history import content
from penstock.checkpoints.manifest import Manifest
from penstock.checkpoints.regrouped_rows import OldQueue, stored_in
from penstock.checkpoints.reopen import reopen
from penstock.checkpoints.run_shape import RunShape, shape_of
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import CheckpointDamaged
from penstock.metrics.layout import EdgeLayout, Layout, StageLayout
from penstock.plan.earlier_layout import EarlierLayout
from penstock.plan.membership import Membership
from penstock.slot.records.record import InputRecord, OutputRecord, Record, StageRecord


def shape_of_earlier(
    layout: EarlierLayout, membership: Membership, records: Mapping[tuple[str, int], Record]
) -> RunShape:
    """Its slots and queues. The queues of an edge are those that its receivers' records name."""
    stages = [
        StageLayout(stage.name, stage.group, membership.slots[stage.name], caller=stage.caller)
        for stage in layout.stages.values()
    ]
    named = [name for record in records.values() for stage in record.stages for name in stage.inputs]
    edges = [
        EdgeLayout(edge.name, edge.sender, edge.receiver, 0, [
            f"queues/{name}" for name in named if name.rpartition(".")[0] == edge.name
        ])
        for edge in layout.edges.values()
    ]
    return shape_of(Layout("", 0.0, stages, edges))


class EarlierRun(msgspec.Struct, frozen=True):
    """All of it."""

    store: CheckpointStore
    manifest: Manifest
    layout: EarlierLayout
    membership: Membership
    shape: RunShape
    records: dict[tuple[str, int], Record]
    """By slot group and number."""
    frames: dict[str, bytes]
    """What was in each queue, by its name."""
    was_drained: bool
    """True: every stage was through with the input that it was given, so its sinks are complete."""

    def slots(self, stage: str) -> int:
        """How many there were of a stage."""
        return self.membership.slots[stage]

    def stage(self, stage: str, number: int) -> StageRecord:
        """What a slot had to say of one of its stages."""
        group = self.layout.stages[stage].group
        (slot,) = [slot for slot in self.shape.slots if (slot.group, slot.number) == (group, number)]
        return self.records[group, number].stages[slot.stages.index(stage)]

    def stages(self, stage: str) -> list[StageRecord]:
        return [self.stage(stage, number) for number in range(self.slots(stage))]

    def is_through(self, stage: str) -> bool:
        """True: all of its slots were through with all of their input."""
        return stage in self.layout.stages and all(record.finished for record in self.stages(stage))

    def queues(self, edge: str) -> dict[str, tuple[int, int]]:
        """The queues of an edge: the sending slot and the receiving slot of each."""
        return {
            channel.name: (self.shape.slots[channel.sender].number, self.shape.slots[channel.receiver].number)
            for channel in self.shape.channels if channel.name.rpartition(".")[0] == edge
        }

    def ends(self, edge: str, queue: str) -> tuple[InputRecord, OutputRecord]:
        """What both ends of a queue had to say."""
        sender, receiver = self.queues(edge)[queue]
        ends = self.layout.edges[edge]
        return self.stage(ends.receiver, receiver).inputs[queue], self.stage(ends.sender, sender).outputs[queue]

    def rows_in(self, edge: str) -> list[OldQueue]:
        """What is on its way there. Raises `CheckpointDamaged`, `StoreUnavailable`."""
        return [
            OldQueue(sender, receiver, stored_in(
                self.frames[name], self.ends(edge, name)[0].rows_done,
                lambda sequence, ticket, name=name: self._side_file(name, sequence, ticket),  # type: ignore[misc]
            ))
            for name, (sender, receiver) in sorted(self.queues(edge).items(), key=lambda queue: queue[1])
        ]

    def log(self, path: str) -> bytes:
        """The content of a log or a file, by its path in the run directory. Raises as `rows_in`."""
        cut = self.manifest.cut
        chunks = {log.path: log.chunks for log in cut.logs} | {file.path: file.chunks for file in cut.files}
        if path not in chunks:
            raise self.damaged(f"it lacks {path}, which its records speak of")
        return b"".join(content(self.store, self.manifest, chunks[path]))

    def damaged(self, what: str) -> CheckpointDamaged:
        return CheckpointDamaged(self.store.where, self.manifest.id, what)

    def _side_file(self, queue: str, sequence: int, ticket: bytes) -> bytes:
        payload = self.log(f"queues/{queue}.side-{sequence}")
        if ticket_of(payload) != ticket:
            raise self.damaged(f"a side file of {queue} does not hold what was written")
        return payload


def earlier_run(
    store: CheckpointStore, manifest: Manifest, layout: EarlierLayout, membership: Membership,
    records: dict[tuple[str, int], Record], endless: Collection[str],
) -> EarlierRun:
    """`records`: those of the checkpoint; they are changed. `endless`: as for `reopen`. Raises `CheckpointDamaged`."""
    shape = shape_of_earlier(layout, membership, records)
    held = {channel.name: channel for channel in manifest.cut.channels}
    slots, channels = {(slot.group, slot.number) for slot in shape.slots}, {channel.name for channel in shape.channels}
    if set(records) != slots or set(held) != channels:
        raise CheckpointDamaged(store.where, manifest.id, "it does not hold the slots and queues of its layout")
    data = {name: b"".join(content(store, manifest, channel.chunks)) for name, channel in held.items()}
    in_order = [records[slot.group, slot.number] for slot in shape.slots]
    for channel in shape.channels:
        found = held[channel.name]
        if len(data[channel.name]) != found.tail - found.head:
            raise CheckpointDamaged(store.where, manifest.id, f"it does not hold all of {channel.name}")
    drained = all(record.finished for record in in_order)
    frames = reopen(shape, in_order, data, endless)
    return EarlierRun(store, manifest, layout, membership, shape, records, frames, drained)
