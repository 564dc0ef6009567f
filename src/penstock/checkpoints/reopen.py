"""A cut of a run that was told to end, made one that continues: sources read on, and nobody has seen an end. Pure.

Who drains a run has its sources say that nothing comes any more, and each stage finishes once all of its inputs have
ended. Only where a source was read to its end is that true for the run that resumes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from penstock.channel import frame as frames
from penstock.channel.frame import HEADER_BYTES, Kind
from penstock.checkpoints.run_shape import RunShape
from penstock.slot.records.record import Record, StageRecord


def cut_short(shape: RunShape, records: Sequence[Record], endless: Collection[str]) -> set[str]:
    """The stages that have more to come: sources that were not read to their end, and all behind them.

    `endless`: the sources that have no end of their own.
    """
    found = {
        name
        for slot, record in zip(shape.slots, records, strict=True)
        for name, stage in zip(slot.stages, record.stages, strict=True)
        if name in endless or any(not split.done for split in stage.splits.values())
    }
    edges = {(channel.sending_stage, channel.receiving_stage) for channel in shape.channels}
    while True:
        behind = {receiver for sender, receiver in edges if sender in found} - found
        if not behind:
            return found
        found |= behind


def reopen(
    shape: RunShape, records: Sequence[Record], data: Mapping[str, bytes], endless: Collection[str]
) -> dict[str, bytes]:
    """Change the records so that the stages that were cut short go on; what is in each channel then, by its name.

    `data`: the frames in each channel.
    """
    stages = cut_short(shape, records, endless)
    left = dict(data)
    for slot, record in zip(shape.slots, records, strict=True):
        for name, stage in zip(slot.stages, record.stages, strict=True):
            if name in stages:
                stage.finished = False
    for channel in shape.channels:
        if channel.sending_stage not in stages:
            continue
        sender, receiver = shape.slots[channel.sender], shape.slots[channel.receiver]
        given = records[channel.sender].stages[sender.stages.index(channel.sending_stage)]
        taken = records[channel.receiver].stages[receiver.stages.index(channel.receiving_stage)]
        taken.inputs[channel.name].ended = False
        left[channel.name] = _without_end(channel.name, left[channel.name], given)
    return left


def _without_end(name: str, data: bytes, given: StageRecord) -> bytes:
    """An END that nobody has read yet is taken back; one that was read stays one of the frames that there were."""
    offset = 0
    while offset < len(data):
        _, header = frames.unpack(data[offset : offset + HEADER_BYTES])
        if header.kind == Kind.END:
            output = given.outputs[name]
            output.tail -= len(data) - offset
            output.sequence -= 1
            return data[:offset]
        offset += frames.space(header.length)
    return data
