"""What a run leaves in its pages, journals and queues when it is over, added up for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from penstock.channel.ring import backlog_rows
from penstock.errors import QueueDamaged
from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.slot.journal import Journal, Record
from penstock.slot.life import FailureNote
from penstock.supervisor.protocol import RunSpec, StageEnd, StageSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FinalTotals:
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
    """Set when a queue or a journal could not be read; the sums are without it."""


def final_totals(root: Path, spec: RunSpec) -> FinalTotals:
    """Read everything once; the workers are gone."""
    sums = {stage.name: _sums(root, stage) for stage in spec.stages}
    damages: list[QueueDamaged] = []
    records = [
        record for seat in spec.seats
        if (record := _whole(_record, RunPaths(root).seat(seat.seat, seat.slot).journal, damages)) is not None
    ]
    backlogs = [_whole(backlog_rows, root / name, damages) or 0 for name in spec.queues]
    notes = (_hopeless(stage, sums[stage.name]) for stage in spec.stages)
    return FinalTotals(
        stages=[_stage_end(name, words) for name, words in sums.items()],
        undelivered_rows=max(sum(backlogs) - _rows_half_way(records), 0),
        cut_short=any(not split.done for record in records for part in record.parts for split in part.splits.values()),
        hopeless=next((note for note in notes if note is not None), None),
        untouched=all(record.number == 0 for record in records),
        damaged=FailureNote("queues", str(damages[0])) if damages else None,
    )


def _whole(read: Callable[[Path], T], path: Path, damages: list[QueueDamaged]) -> T | None:
    """What a file says; None, and the damage noted, where it cannot be trusted."""
    try:
        return read(path)
    except QueueDamaged as damage:
        damages.append(damage)
        return None


def _sums(root: Path, stage: StageSpec) -> dict[Word, int]:
    sums = dict.fromkeys(Word, 0)
    for name in stage.pages:
        page = Page(root / name, writable=False)
        for word in Word:
            sums[word] += page.words[word]
        page.close()
    return sums


def _stage_end(name: str, sums: dict[Word, int]) -> StageEnd:
    return StageEnd(
        name, sums[Word.ROWS_IN], sums[Word.ROWS_OUT], sums[Word.RETRIES], sums[Word.DEAD_LETTERS],
        sums[Word.SKIPPED], sums[Word.RESTARTS], sums[Word.BUSY_NS] / 1e9,
    )


def _hopeless(stage: StageSpec, sums: dict[Word, int]) -> FailureNote | None:
    failed = sums[Word.ROWS_FAILED_BEFORE_SUCCESS]
    if not stage.gives_up or not failed or sums[Word.ROWS_SUCCEEDED]:
        return None
    return FailureNote(
        stage.name,
        f"no row ever succeeded and {failed} failed, so the code is wrong rather than the data "
        "(dead_letter(give_up_after=None) accepts that)",
    )


def _record(path: Path) -> Record:
    """The last commit of a slot."""
    journal = Journal(path)
    try:
        return journal.load()
    finally:
        journal.close()


def _rows_half_way(records: Sequence[Record]) -> int:
    """Rows that are done, though the frame they came in stands in its queue till its last one is."""
    return sum(stand.rows_done for record in records for part in record.parts for stand in part.inputs)
