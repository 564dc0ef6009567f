"""What a run leaves when it is over, added up for the report: by its journals, whose records are checked.

Pages show the same counts, but nothing tells when a bit of theirs has flipped; only what no journal has is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import asdict

from penstock.channel.queue_file import rows_taken
from penstock.errors import FileUnusable, QueueDamaged
from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.shared_file import Opening, by_calls
from penstock.slot.records.journal import load_record
from penstock.slot.records.life import FailureNote
from penstock.slot.records.record import Counts, Record, StageRecord
from penstock.supervisor.protocol import RunSpec, SlotSpec, StageEnd, StageSpec

T = TypeVar("T")


class FinalTotals(msgspec.Struct, frozen=True):
    """The sums."""

    stages: Sequence[StageEnd]
    undelivered_rows: int
    cut_short: bool
    """True: some source was stopped before its end."""
    hopeless: FailureNote | None
    """Set when a stage that gives up saw no row succeed."""
    untouched: bool
    """True: no worker has ever committed anything."""
    damaged: FailureNote | None
    """Set when a queue, a journal or a page could not be read; the sums are without it."""


def final_totals(root: Path, spec: RunSpec, opening: Opening = by_calls) -> FinalTotals:
    """Read everything once; the workers are gone."""
    files = _Files(opening)
    paths = RunPaths(root)
    slots = [(slot, files.whole(load_record, paths.slot(slot.group, slot.slot).journal)) for slot in spec.slots]
    records = [record for _, record in slots if record is not None]
    # The calling process may be at its journal this very moment: what it took, its queues say.
    taken = {name: files.whole(rows_taken, root / name) or 0 for name in spec.queues}
    counts = {stage.name: _counts(_records_of(stage.name, slots)) for stage in spec.stages}
    for stage in spec.stages:
        _count_unsent(counts, stage.name, _records_of(stage.name, slots))
    ends = [_stage_end(stage, counts[stage.name], _kept_by_pages(root, stage, files)) for stage in spec.stages]
    notes = (_hopeless(root, stage, counts[stage.name]) for stage in spec.stages)
    return FinalTotals(
        stages=ends,
        undelivered_rows=max(_rows_under_way(records) - sum(taken[name] for name in spec.caller_queues), 0),
        cut_short=any(not split.done for stage in _stages_of(records) for split in stage.splits.values()),
        hopeless=next((note for note in notes if note is not None), None),
        untouched=not files.damages and all(record.number == 0 for record in records),
        damaged=FailureNote("queues", str(files.damages[0])) if files.damages else None,
    )


class _Files:
    """The files of the run, and the damage found in them so far."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self.damages: list[QueueDamaged | FileUnusable] = []

    def whole(self, read: Callable[[Path, Opening], T], path: Path) -> T | None:
        """What a file says; None, and the damage noted, where it cannot be trusted."""
        try:
            return read(path, self._opening)
        except (QueueDamaged, FileUnusable) as damage:
            self.damages.append(damage)
            return None


def _records_of(stage: str, slots: Iterable[tuple[SlotSpec, Record | None]]) -> list[StageRecord]:
    return [
        record.stages[slot.stages.index(stage)] for slot, record in slots if record is not None and stage in slot.stages
    ]


def _stages_of(records: Iterable[Record]) -> list[StageRecord]:
    return [stage for record in records for stage in record.stages]


def _counts(stages: Iterable[StageRecord]) -> Counts:
    counts = [asdict(stage.counts) for stage in stages]
    return Counts(**{name: sum(count[name] for count in counts) for name in Counts.__struct_fields__})


def _count_unsent(counts: Mapping[str, Counts], sender: str, stages: Iterable[StageRecord]) -> None:
    """Rows that a stage could not send are losses of the stages that they were for.

    The calling process, which may be one, counts for itself: there they stay the sender's.
    """
    for stage in stages:
        for receiver, (set_aside, skipped) in stage.unsent.items():
            losing = counts.get(receiver, counts[sender])
            losing.dead_letters += set_aside
            losing.skipped += skipped


def _kept_by_pages(root: Path, stage: StageSpec, files: _Files) -> tuple[int, int]:
    """(restarts, nanoseconds busy): figures of the living that no journal has."""
    pages = [found for name in stage.pages if (found := files.whole(_page, root / name)) is not None]
    return sum(restarts for restarts, _ in pages), sum(busy_ns for _, busy_ns in pages)


def _page(path: Path, opening: Opening) -> tuple[int, int]:
    page = Page(path, opening, writable=False)
    try:
        return int(page.words[Word.RESTARTS]), int(page.words[Word.BUSY_NS])
    finally:
        page.close()


def _stage_end(stage: StageSpec, counts: Counts, kept: tuple[int, int]) -> StageEnd:
    restarts, busy_ns = kept
    return StageEnd(
        stage.name, counts.rows_in, counts.rows_out, counts.retries, counts.dead_letters, counts.skipped, restarts,
        busy_ns / 1e9, counts.late,
    )


def _hopeless(root: Path, stage: StageSpec, counts: Counts) -> FailureNote | None:
    """For what no worker could see: an ordered stage whose last worker was another one than the first, say."""
    failed = counts.failed_before_success
    if not stage.gives_up or not failed or counts.succeeded:
        return None
    return FailureNote(
        stage.name,
        f"no row has ever succeeded and {failed} have failed, so the code is probably wrong, not the data "
        f"(dead_letter(give_up_after=None) continues anyway){_last_error(root, stage.name)}",
    )


def _last_error(root: Path, stage: str) -> str:
    try:
        return f"; the last error: {(RunPaths(root).last_errors / stage).read_text()}"
    except (OSError, UnicodeDecodeError):
        return ""  # it is written for those who look, and was not


def _rows_under_way(records: Sequence[Record]) -> int:
    """Rows given out and not taken in yet; of a frame half done, those that are done are taken."""
    stages = _stages_of(records)
    given = sum(queue.rows for stage in stages for queue in stage.outputs.values())
    return given - sum(queue.rows + queue.rows_done for stage in stages for queue in stage.inputs.values())
