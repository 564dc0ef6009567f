"""The files of rows that wait for a checkpoint before they become visible: one stage's spool in a slot, by segments.

Pure: whoever copies a run knows by this what a record covers.
"""

from __future__ import annotations

from pathlib import Path

from penstock.slot.records.record import EpochRecord


def segment_beginning(folder: Path, stage: int) -> Path:
    """How the names of a stage's segments begin. `folder`: of the slot; `stage`: its place among the slot's stages."""
    return folder / f"epoch.{stage}."


def segment_path(folder: Path, stage: int, segment: int) -> Path:
    """The file of one segment."""
    return folder / f"epoch.{stage}.{segment}"


def epoch_segments(folder: Path, stage: int, epoch: EpochRecord) -> list[tuple[Path, int]]:
    """(file, bytes of it that count) of each segment, in order."""
    return [(segment_path(folder, stage, epoch.first + place), length) for place, length in enumerate(epoch.lengths)]
