"""Makes a run directory of a checkpoint, as a killed supervisor leaves one: whoever takes it over resumes from there.

Only what rows depend on: queues, journals, logs, side files, the lists of slots and splits. Bells, pages and pipes are
made by whoever takes over. Cursors are written from the records, never from a copy: a queue whose cursors are later
than its records is refused, and rightly so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from penstock.byte_files import DISK, ByteFile, Files, write_all
from penstock.channel import ring_copy
from penstock.checkpoints.consistent import DEAD_LETTERS_FOLDER
from penstock.checkpoints.history import content
from penstock.checkpoints.manifest import ChannelCut, LogCut, Manifest, SlotCut
from penstock.checkpoints.reopen import reopen
from penstock.checkpoints.run_shape import RunShape
from penstock.checkpoints.store import CheckpointStore
from penstock.dead_letter_store import letters_file
from penstock.errors import CheckpointDamaged
from penstock.plan.paths import RunPaths
from penstock.shared_file import Opening, by_calls
from penstock.slot.records.durable_word import DurableWord
from penstock.slot.records.journal import create_journal
from penstock.slot.records.record import InputRecord, OutputRecord, Record, decode_record


def _folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


class Restoring(msgspec.Struct, frozen=True):
    """A checkpoint, and where it is restored to."""

    store: CheckpointStore
    manifest: Manifest
    paths: RunPaths
    """An empty run directory."""
    dead_letters: Path
    """The run's folder of them, which may have some."""
    lineage: int
    """Of the records from here on: one that no records had before."""
    gone_letters: Mapping[str, Mapping[int, int]] = {}
    """As `Membership.letters`."""
    opening: Opening = by_calls
    files: Files = DISK
    make_folder: Callable[[Path], None] = _folder


def records_of(manifest: Manifest, where: str) -> dict[tuple[str, int], Record]:
    """The records of a checkpoint, by slot group and number. Raises `CheckpointDamaged`."""
    return {(slot.group, slot.number): _record(slot, manifest, where) for slot in manifest.cut.slots}


def restore(to: Restoring, shape: RunShape, capacities: Mapping[str, int], endless: Collection[str]) -> None:
    """Write it all. `shape`: that of the run; `capacities`: of each channel, by its name.

    `endless`: the sources that have no end of their own. A run that was told to end continues (`reopen`).
    Raises `CheckpointDamaged`, `StoreUnavailable`, and `OSError` or `FileUnusable` where there is no room.
    """
    cut = to.manifest.cut
    found = records_of(to.manifest, to.store.where)
    channels = {channel.name: channel for channel in cut.channels}
    if set(found) != {(slot.group, slot.number) for slot in shape.slots} or set(channels) != set(capacities):
        raise CheckpointDamaged(to.store.where, to.manifest.id, "it does not hold the slots and queues of its layout")
    records = [found[slot.group, slot.number] for slot in shape.slots]
    data = {name: _frames_of(to, channel, records) for name, channel in channels.items()}
    data = reopen(shape, records, data, endless)
    to.make_folder(to.paths.root / "queues")
    for name, frames in data.items():
        taken, given = _ends(records, name)
        ring_copy.put_back(
            to.paths.root / "queues" / name, to.opening, capacities[name], frames, head=taken.head,
            head_rows=taken.rows, tail_rows=given.rows, files=to.files,
        )
    for slot, record in zip(shape.slots, records, strict=True):
        journal = slot.journal(to.paths)
        to.make_folder(journal.parent)
        create_journal(journal, msgspec.structs.replace(record, lineage=to.lineage), files=to.files)
        if not slot.caller:
            DurableWord.create(slot.durable(to.paths), record.number, to.files)
    for log in cut.logs:
        restore_log(to, log)
    cut_letters(to)
    for file in cut.files:
        write(to, file.path, content(to.store, to.manifest, file.chunks))


def _record(slot: SlotCut, manifest: Manifest, where: str) -> Record:
    try:
        return decode_record(slot.record)
    except msgspec.MsgspecError as exc:
        raise CheckpointDamaged(
            where, manifest.id, f"the record of {slot.group}/{slot.number} cannot be read ({exc})"
        ) from exc


def _ends(records: Sequence[Record], name: str) -> tuple[InputRecord, OutputRecord]:
    stages = [stage for record in records for stage in record.stages]
    (taken,) = [stage.inputs[name] for stage in stages if name in stage.inputs]
    (given,) = [stage.outputs[name] for stage in stages if name in stage.outputs]
    return taken, given


def _frames_of(to: Restoring, channel: ChannelCut, records: Sequence[Record]) -> bytes:
    data = b"".join(content(to.store, to.manifest, channel.chunks))
    taken, given = _ends(records, channel.name)
    if (channel.head, channel.tail) != (taken.head, given.tail) or len(data) != channel.tail - channel.head:
        what = f"what it holds of {channel.name} is not what its records say"
        raise CheckpointDamaged(to.store.where, to.manifest.id, what)
    return data


def restore_log(to: Restoring, log: LogCut) -> None:
    """Write a log of the checkpoint to its place."""
    folder, _, name = log.path.partition("/")
    if folder != DEAD_LETTERS_FOLDER:
        write(to, log.path, content(to.store, to.manifest, log.chunks))
        return
    # Dead letters have a place of their own, which may have outlived the run: what is there is a beginning of the log
    # and more, or less of it. What is more, the slot's next worker cuts away.
    place, names = to.dead_letters.parents[1], (*to.dead_letters.parts[-2:], name)
    file = to.files.open_below(place, names, os.O_RDWR | os.O_CREAT)
    try:
        if file.size < log.length:
            _fill(file, content(to.store, to.manifest, log.chunks))
    finally:
        file.close()


def cut_letters(to: Restoring) -> None:
    """Of slots that there are no more, no worker will cut away what was written behind the checkpoint."""
    for group, slots in to.gone_letters.items():
        for slot, length in slots.items():
            path = letters_file(to.dead_letters, group, slot)
            if to.files.exists(path):
                file = to.files.open(path, os.O_RDWR)
                try:
                    file.truncate(min(file.size, length))
                finally:
                    file.close()


def write(to: Restoring, path: str, parts: Iterable[bytes]) -> int:
    """Make a file of the run directory; its length."""
    place = to.paths.root / path
    to.make_folder(place.parent)
    file = to.files.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        return _fill(file, parts)
    finally:
        file.close()


def _fill(file: ByteFile, parts: Iterable[bytes]) -> int:
    offset = 0
    for data in parts:
        offset += write_all(file, data, offset)
    return offset
