"""Which files, and how many bytes of each, what a slot's record says covers: for whoever copies the slot. Pure.

A log that takes part in commits (`committed_log.Participant`) puts numbers into the record. What they mean for its
files is said here, by its name in the record: who copies a run loads no user code, and opens no log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from penstock.plan.paths import SlotPaths
from penstock.slot.records.dead_letter_file import DEAD_LETTERS
from penstock.slot.records.epoch_segments import epoch_segments
from penstock.slot.records.record import STATE, Record
from penstock.slot.records.retries import RETRIES, generation_path
from penstock.slot.state.changelog import segment_path, segments_of


class CoveredFile(msgspec.Struct, frozen=True):
    """A file that is only appended to, as far as a record covers it."""

    path: Path
    length: int
    may_be_short: bool = False
    """True: the user may have removed it, or a part; what is there counts."""


Covers: TypeAlias = Callable[[Sequence[int], Path, Path], Sequence[CoveredFile]]
"""(the numbers, the folder of the slot, its file of dead letters) -> the files that the numbers cover."""


def _dead_letters(numbers: Sequence[int], folder: Path, letters: Path) -> Sequence[CoveredFile]:
    return [CoveredFile(letters, numbers[0], may_be_short=True)] if numbers[0] else []


def _retries(numbers: Sequence[int], folder: Path, letters: Path) -> Sequence[CoveredFile]:
    generation, length = numbers
    return [CoveredFile(generation_path(SlotPaths(folder).retries, generation), length)] if length else []


def _state(numbers: Sequence[int], folder: Path, letters: Path) -> Sequence[CoveredFile]:
    base = SlotPaths(folder).changelog
    return [CoveredFile(segment_path(base, segment), length) for segment, length in segments_of(numbers)]


_COVERS: Final[Mapping[str, Covers]] = {DEAD_LETTERS: _dead_letters, RETRIES: _retries, STATE: _state}


def covered_logs(record: Record, folder: Path, letters: Path) -> list[CoveredFile]:
    """The logs of a slot. A log whose name is not known here is a `KeyError`: without it the copy would be useless."""
    logs = [file for name, numbers in record.logs.items() for file in _COVERS[name](numbers, folder, letters)]
    spools = [
        CoveredFile(path, length)
        for number, stage in enumerate(record.stages) if stage.epoch is not None
        for path, length in epoch_segments(folder, number, stage.epoch)
    ]
    return logs + spools


def covered_whole(record: Record, folder: Path) -> list[Path]:
    """Files of a slot that do not change any more: what single rows gave that was too much for memory."""
    return [folder / spill.name for stage in record.stages for spill in stage.spills]
