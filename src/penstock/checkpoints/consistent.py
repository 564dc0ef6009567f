"""What the records of a cut say together: what was in each channel, and which files the cut takes along. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from penstock.checkpoints.run_shape import RunShape
from penstock.dead_letter_store import letters_file
from penstock.plan.paths import RunPaths
from penstock.slot.covered_files import CoveredFile, covered_logs, covered_whole
from penstock.slot.records.record import Record


class Inconsistent(Exception):
    """Records that were never true together: a bug in the order in which they were read, or damage."""


class Backlog(msgspec.Struct, frozen=True):
    """What was in a channel."""

    name: str
    path: str
    head: int
    head_rows: int
    tail: int
    tail_rows: int


class NamedLog(msgspec.Struct, frozen=True):
    """A log that the cut takes along, and its name in checkpoints."""

    name: str
    file: CoveredFile


class NamedFile(msgspec.Struct, frozen=True):
    """A whole file that the cut takes along, and its name in checkpoints."""

    name: str
    path: Path


DEAD_LETTERS_FOLDER = "dead-letters"
"""Where the dead letters of a run are in a checkpoint: they are in no run directory, which has no such folder."""


def backlogs(shape: RunShape, records: Sequence[Record]) -> list[Backlog]:
    """For each channel what lies between its ends. Raises `Inconsistent`. `records`: as `shape.slots`."""
    return [_backlog(shape, records, place) for place in range(len(shape.channels))]


def _backlog(shape: RunShape, records: Sequence[Record], place: int) -> Backlog:
    channel = shape.channels[place]
    sender, receiver = shape.slots[channel.sender], shape.slots[channel.receiver]
    given = records[channel.sender].stages[sender.stages.index(channel.sending_stage)].outputs[channel.name]
    taken = records[channel.receiver].stages[receiver.stages.index(channel.receiving_stage)].inputs[channel.name]
    if taken.head > given.tail or taken.sequence > given.sequence or taken.rows > given.rows:
        raise Inconsistent(f"{channel.name}: {taken} was taken out, and {given} was put in")
    return Backlog(channel.name, channel.path, taken.head, taken.rows, given.tail, given.rows)


def logs(shape: RunShape, records: Sequence[Record], paths: RunPaths, dead_letters: Path) -> list[NamedLog]:
    """Logs that the records cover. `dead_letters`: the run's folder of them."""
    found = []
    for slot, record in zip(shape.slots, records, strict=True):
        letters = letters_file(dead_letters, slot.group, slot.number)
        covered = covered_logs(record, slot.folder(paths), letters)
        found += [NamedLog(_name(file.path, paths, dead_letters), file) for file in covered]
    return found


def letters_left(letters: Mapping[str, Mapping[int, int]], dead_letters: Path) -> list[NamedLog]:
    """The dead letters of slots that there are no more. `letters`: how many bytes, by slot group and slot."""
    found = []
    for group, slots in letters.items():
        for slot, length in slots.items():
            path = letters_file(dead_letters, group, slot)
            found.append(NamedLog(f"{DEAD_LETTERS_FOLDER}/{path.name}", CoveredFile(path, length, may_be_short=True)))
    return found


def whole_files(shape: RunShape, records: Sequence[Record], paths: RunPaths) -> list[NamedFile]:
    """Files that do not change any more, and that the records speak of."""
    return [
        NamedFile(str(path.relative_to(paths.root)), path)
        for slot, record in zip(shape.slots, records, strict=True)
        for path in covered_whole(record, slot.folder(paths))
    ]


def _name(path: Path, paths: RunPaths, dead_letters: Path) -> str:
    if path.parent == dead_letters:
        return f"{DEAD_LETTERS_FOLDER}/{path.name}"
    return str(path.relative_to(paths.root))
