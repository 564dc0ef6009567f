"""The records of the slots that a run has from now on, from those of the slots that it had. Pure.

A slot that stays keeps what is its own: counts, position of its sink, rows that wait. What slots that are gone had to
say goes to the slot whose number is theirs modulo the new number. Splits are dealt anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import astuple, replace

from penstock.checkpoints.earlier_run import EarlierRun
from penstock.checkpoints.regrouped_queues import NewQueue
from penstock.event_time import END_OF_TIME
from penstock.plan.plan import StagePlan
from penstock.plan.topology import Slot, Topology
from penstock.slot.input.discovery import is_of_slot
from penstock.slot.records.record import (
    Counts,
    EpochRecord,
    Record,
    SplitRecord,
    StageRecord,
    first_record,
)
from penstock.slot.watermarks.origin import Origin, together


def new_records(
    topology: Topology, earlier: EarlierRun, queues: Mapping[str, NewQueue], *, anew: bool,
    positions: Callable[[str, int], Any],
) -> dict[tuple[str, int], Record]:
    """Of all slots, without their logs. `queues`: those that are made anew, by name; all others stay as they were.

    `anew`: turns are counted from the beginning. `positions(stage, slot)`: of a sink whose slot was gone before.
    """
    return {
        (slot.group, slot.number): _record(topology, slot, earlier, queues, anew, positions)
        for slot in topology.slots()
    }


def _record(
    topology: Topology, slot: Slot, earlier: EarlierRun, queues: Mapping[str, NewQueue], anew: bool,
    positions: Callable[[str, int], Any],
) -> Record:
    first = first_record(topology, slot)
    was = earlier.records.get((slot.group, slot.number))
    return Record(
        0 if was is None else was.number, {}, earlier.manifest.cut.run_id,
        [
            _with_queues(_stage(topology, stage, slot.number, earlier, begins, positions), begins, queues, anew)
            for stage, begins in zip(slot.stages, first.stages, strict=True)
        ],
    )


def _stage(
    topology: Topology, stage: StagePlan, number: int, earlier: EarlierRun, begins: StageRecord,
    positions: Callable[[str, int], Any],
) -> StageRecord:
    """Without its queues."""
    if stage.name not in earlier.layout.stages:
        return begins
    before, now = earlier.slots(stage.name), topology.workers(stage.name)
    if before == now:
        return earlier.stage(stage.name, number)
    records = earlier.stages(stage.name)
    kept = records[number] if number < before else _come_again(stage, positions(stage.name, number))
    mine = [records[other] for other in range(before) if other % now == number]
    watermark, _ = together([_origin(record) for record in records])
    return replace(
        kept,
        counts=Counts(*map(sum, zip(*(astuple(record.counts) for record in mine), strict=True))) if mine else Counts(),
        splits=_splits(topology, stage, number, records), finished=all(record.finished for record in records),
        unsent=_summed([record.unsent for record in mine]), watermark=watermark,
    )


def _come_again(stage: StagePlan, left: Any) -> StageRecord:
    """A slot that there was not in the run before. `left`: what one of its number had left of its sink once, if any."""
    if stage.sink is not None and stage.sink.waits_for_checkpoint:
        return StageRecord(epoch=EpochRecord(begin=left or 0, applied=left or 0))
    return StageRecord(sink_position=left)


def _origin(record: StageRecord) -> Origin:
    origin = Origin()
    origin.watermark = END_OF_TIME if record.finished else record.watermark
    return origin


def _splits(
    topology: Topology, stage: StagePlan, number: int, records: Sequence[StageRecord]
) -> dict[str, SplitRecord]:
    """Where the source stands in the splits that this slot reads from now on."""
    known = {name: split for record in records for name, split in record.splits.items()}
    mine = topology.splits(stage, number)
    now = topology.workers(stage.name)
    found = {
        name: split for name, split in known.items()
        if name not in stage.splits and is_of_slot(name, number, now)
    }
    return {**{name: known[name] for name in mine if name in known}, **found}


def _summed(parts: Sequence[Mapping[str, list[int]]]) -> dict[str, list[int]]:
    summed: dict[str, list[int]] = {}
    for part in parts:
        for name, numbers in part.items():
            so_far = summed.get(name, [0] * len(numbers))
            summed[name] = [a + b for a, b in zip(so_far, numbers, strict=True)]
    return summed


def _with_queues(stage: StageRecord, begins: StageRecord, queues: Mapping[str, NewQueue], anew: bool) -> StageRecord:
    """`begins`: that of a run that begins, which has the names of all of its queues."""
    inputs = {name: queues[name].taken if name in queues else stage.inputs[name] for name in begins.inputs}
    outputs = {name: queues[name].given if name in queues else stage.outputs[name] for name in begins.outputs}
    turns = begins.turns_in if anew else {**begins.turns_in, **_of(stage.turns_in, begins.turns_in)}
    return replace(stage, inputs=inputs, outputs=outputs, turns_in=turns, turn_out=0 if anew else stage.turn_out)


def _of(turns: Mapping[str, int], names: Collection[str]) -> dict[str, int]:
    return {name: turn for name, turn in turns.items() if name in names}
