"""Makes a run directory of a checkpoint whose run had other slots, or another plan: what was each slot's is dealt anew.

As `restore`, whose files these are. Queues and slots that are as they were are restored as they were.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from penstock.channel import ring_copy
from penstock.channel.codec import Codec
from penstock.channel.side_file import SideFiles
from penstock.checkpoints.consistent import DEAD_LETTERS_FOLDER
from penstock.checkpoints.earlier_run import EarlierRun
from penstock.checkpoints.history import content
from penstock.checkpoints.regrouped_logs import Waiting, new_state
from penstock.checkpoints.regrouped_queues import NewQueue, new_queues
from penstock.checkpoints.regrouped_rows import NewFrame, RowsUnreadable, regrouped_rows
from penstock.checkpoints.regrouped_slots import new_records
from penstock.checkpoints.restore import Restoring, cut_letters, restore_log, write
from penstock.errors import LayoutChanged
from penstock.plan.changes import DRAIN, Changes
from penstock.plan.paths import channel_name
from penstock.plan.plan import EdgePlan
from penstock.plan.topology import Slot, Topology
from penstock.slot.records.dead_letter_file import DEAD_LETTERS
from penstock.slot.records.durable_word import DurableWord
from penstock.slot.records.journal import create_journal
from penstock.slot.records.record import STATE, Record, StageRecord
from penstock.slot.records.retries import RETRIES, first_log, generation_path
from penstock.slot.state.changelog import segment_path


class Rescaled(msgspec.Struct, frozen=True):
    """A run as it goes on: all but what is copied as it is."""

    topology: Topology
    earlier: EarlierRun
    queues: dict[str, NewQueue]
    """Those that are made anew."""
    records: dict[tuple[str, int], Record]
    waiting: Waiting


def rescaled(topology: Topology, changes: Changes, earlier: EarlierRun) -> Rescaled:
    """Raises `LayoutChanged` for what is on its way and has no place to go, `CheckpointDamaged`, `StoreUnavailable`."""
    where = f"checkpoint {earlier.manifest.id} of {earlier.store.where}"
    try:
        waiting = Waiting(topology, earlier)
        turns = _turns_change(topology, changes)
        lines = [*changes.refused, *_on_their_way(changes, earlier, waiting, turns)]
        if lines:
            raise LayoutChanged(lines, where)
        queues = {
            queue.name: queue for edge in topology.plan.edges if _is_anew(topology, edge, changes, earlier, turns)
            for queue in _queues(topology, edge, changes, earlier)
        }
    except RowsUnreadable as exc:
        raise LayoutChanged([str(exc)], where) from exc
    records = new_records(
        topology, earlier, queues, anew=turns,
        positions=lambda stage, slot: earlier.membership.gone.get(stage, {}).get(slot),
    )
    lines = list(_over_too_soon(topology, records))
    if lines:
        raise LayoutChanged(lines, where)
    return Rescaled(topology, earlier, queues, records, waiting)


def _turns_change(topology: Topology, changes: Changes) -> bool:
    """True: turns are counted from the beginning, by all who count them."""
    return any(
        name in changes.empty and (
            changes.earlier.edges[name].counts_turns
            or any(edge.name == name and topology.counts_turns(edge) for edge in topology.plan.edges)
        )
        for name in changes.earlier.edges
    )


def _on_their_way(changes: Changes, earlier: EarlierRun, waiting: Waiting, turns: bool) -> Iterator[str]:
    """What is somewhere where nothing may be; a line for each."""
    for name, edge in changes.earlier.edges.items():
        why = changes.empty.get(name)
        if why is None and turns and edge.counts_turns:
            why = f"edge {name}: its turns are counted anew"
        if why is None:
            continue
        rows = sum(queue.rows for queue in earlier.rows_in(name))
        if rows:
            yield f"{why}, and {rows} rows are on their way there; {DRAIN}"
        elif waiting.count(edge.receiver):
            yield f"{why}, and {waiting.count(edge.receiver)} rows wait there for a retry; {DRAIN}"
    for name in changes.gone:
        if any(record.spills for record in earlier.stages(name)):
            yield f"stage {name} is gone, and rows that it gave are not sent yet; {DRAIN}"
        if changes.earlier.stages[name].ends and not earlier.is_through(name) and not earlier.was_drained:
            yield f"stage {name} is gone: {changes.earlier.stages[name].ends}"
    for name, (before, now) in changes.rescaled.items():
        for number in range(now, before):
            for what in _held_by(earlier.stage(name, number)):
                yield f"stage {name}: workers {before} -> {now}, and rows of slot {number} {what}; {DRAIN}"


def _held_by(record: StageRecord) -> Iterator[str]:
    """What a slot has that nobody else can take over."""
    if record.spills:
        yield "are not sent yet"
    if record.epoch is not None and record.epoch.length > record.epoch.applied:
        yield "wait for a checkpoint before they are visible"


def _is_anew(topology: Topology, edge: EdgePlan, changes: Changes, earlier: EarlierRun, turns: bool) -> bool:
    was = earlier.layout.edges.get(edge.name)
    return (
        was is None or edge.name in changes.empty or was.queue_bytes != edge.channel_bytes
        or edge.sender in changes.rescaled or edge.receiver in changes.rescaled
        or (turns and (was.counts_turns or topology.counts_turns(edge)))
    )


def _queues(topology: Topology, edge: EdgePlan, changes: Changes, earlier: EarlierRun) -> list[NewQueue]:
    was = edge.name if edge.name in earlier.layout.edges else next(
        (old for old, new in changes.moved.items() if new == edge.name), ""
    )
    frames: dict[int, NewFrame] = {}
    if was and edge.name not in changes.empty:
        before, old = earlier.slots(earlier.layout.edges[was].receiver), earlier.rows_in(was)
        if was != edge.name and any(stored.codec == Codec.WRITTEN for queue in old for stored in queue.stored):
            raise RowsUnreadable(f"rows on their way in {was} are the text of a sink already; {DRAIN}")
        frames = regrouped_rows(topology, edge, old, before)
    return new_queues(topology, edge, earlier, was, frames, time.time_ns())


def _over_too_soon(topology: Topology, records: dict[tuple[str, int], Record]) -> Iterator[str]:
    for slot in topology.slots():
        for stage, record in zip(slot.stages, records[slot.group, slot.number].stages, strict=True):
            if record.finished and not all(taken.ended for taken in record.inputs.values()):
                yield f"stage {stage.name} was through with its input, and has another one now"


def write_rescaled(to: Restoring, run: Rescaled) -> None:
    """Write it all. Raises as `restore` does."""
    topology, earlier = run.topology, run.earlier
    to.make_folder(to.paths.root / "queues")
    for channel in topology.channels():
        name = channel_name(channel.edge, channel.sender, channel.receiver)
        if name in run.queues:
            _write_queue(to, run.queues[name])
        else:
            _copy_queue(to, earlier, channel.edge, name)
    _copy_letters(to, run)
    for slot in topology.slots():
        _write_slot(to, run, slot)


def _write_queue(to: Restoring, queue: NewQueue) -> None:
    path = to.paths.root / "queues" / queue.name
    held = queue.contents
    if held.side is not None:
        SideFiles(path, to.files).write(*held.side)
    ring_copy.put_back(
        path, to.opening, queue.capacity, held.data, head=0, head_rows=queue.taken.rows, tail_rows=queue.given.rows,
        files=to.files,
    )


def _copy_queue(to: Restoring, earlier: EarlierRun, edge: EdgePlan, name: str) -> None:
    taken, given = earlier.ends(edge.name, name)
    path = to.paths.root / "queues" / name
    ring_copy.put_back(
        path, to.opening, edge.channel_bytes, earlier.frames[name], head=taken.head, head_rows=taken.rows,
        tail_rows=given.rows, files=to.files,
    )
    for file in earlier.manifest.cut.files:
        if file.path.startswith(f"queues/{name}.side-"):
            write(to, file.path, content(earlier.store, earlier.manifest, file.chunks))


def _copy_letters(to: Restoring, run: Rescaled) -> None:
    """All dead letters; of slots that are gone, no more than the checkpoint has."""
    for log in run.earlier.manifest.cut.logs:
        if log.path.partition("/")[0] == DEAD_LETTERS_FOLDER:
            restore_log(to, log)
    cut_letters(replace(to, gone_letters=letters_of_gone(run)))


def letters_of_gone(run: Rescaled) -> dict[str, dict[int, int]]:
    """How many bytes of dead letters slots have left that there are no more, for the membership; 0: none."""
    left = {group: dict(slots) for group, slots in run.earlier.membership.letters.items()}
    for (group, number), record in run.earlier.records.items():
        left.setdefault(group, {})[number] = (record.logs.get(DEAD_LETTERS) or [0])[0]
    return {
        group: {number: length for number, length in slots.items() if (group, number) not in run.records}
        for group, slots in left.items()
    }


def _write_slot(to: Restoring, run: Rescaled, slot: Slot) -> None:
    earlier, record = run.earlier, run.records[slot.group, slot.number]
    journal = to.paths.caller_journal if slot.caller else to.paths.slot(slot.group, slot.number).journal
    to.make_folder(journal.parent)
    was = earlier.records.get((slot.group, slot.number))
    logs = dict(was.logs) if was is not None else {}
    if was is None:  # a slot of this number may have been there once: its letters stay, and others come behind them
        logs[DEAD_LETTERS] = [earlier.membership.letters.get(slot.group, {}).get(slot.number, 0)]
    if _is_changed(run, slot):
        logs = {name: numbers for name, numbers in logs.items() if name not in (RETRIES, STATE)}
        _write_waiting(to, run, slot, logs)
        _write_state(to, run, slot, logs)
        _copy_files(to, earlier, slot, but=("retries.", "changelog."))
    else:
        _copy_files(to, earlier, slot)
    _copy_spills(to, earlier, record, slot)
    create_journal(journal, replace(record, logs=logs, lineage=to.lineage), files=to.files)
    if not slot.caller:
        # No record of these is in a checkpoint yet, but for what they have in common with those that were.
        DurableWord.create(to.paths.slot(slot.group, slot.number).durable, record.number, to.files)


def _is_changed(run: Rescaled, slot: Slot) -> bool:
    """True: what the slot has in its logs is another slot's, too, or has other numbers."""
    earlier = run.earlier
    before = [found for found in earlier.shape.slots if (found.group, found.number) == (slot.group, slot.number)]
    if not before or before[0].stages != tuple(stage.name for stage in slot.stages):
        return True
    return earlier.slots(before[0].stages[0]) != run.topology.workers(slot.stages[0].name)


def _write_waiting(to: Restoring, run: Rescaled, slot: Slot, logs: dict[str, list[int]]) -> None:
    # Of another generation than all there were: numbers of rows that were blamed do not come again.
    generation = run.waiting.generation + 1
    data = first_log(generation, run.waiting.rows(slot))
    if data:
        write(to, str(generation_path(to.paths.slot(slot.group, slot.number).retries, generation)), [data])
    if data or run.waiting.generation:
        logs[RETRIES] = [generation, len(data)]


def _write_state(to: Restoring, run: Rescaled, slot: Slot, logs: dict[str, list[int]]) -> None:
    if slot.caller:
        return
    path = segment_path(to.paths.slot(slot.group, slot.number).changelog, 1)
    length = write(to, str(path), new_state(run.topology, run.earlier, slot))
    if length:
        logs[STATE] = [1, length]
    else:
        to.files.remove(path)


def _copy_files(to: Restoring, earlier: EarlierRun, slot: Slot, but: tuple[str, ...] = ()) -> None:
    """The logs of a slot as they were. `but`: how the names of those begin that are made anew."""
    folder = f"slots/{slot.group}.{slot.number}/"
    for log in earlier.manifest.cut.logs:
        if log.path.startswith(folder) and not log.path.removeprefix(folder).startswith(but):
            write(to, log.path, content(earlier.store, earlier.manifest, log.chunks))


def _copy_spills(to: Restoring, earlier: EarlierRun, record: Record, slot: Slot) -> None:
    wanted = {
        f"slots/{slot.group}.{slot.number}/{spill.name}" for stage in record.stages for spill in stage.spills
    }
    for file in earlier.manifest.cut.files:
        if file.path in wanted:
            write(to, file.path, content(earlier.store, earlier.manifest, file.chunks))
