"""What a run leaves in its pages, journals and queues when it is over, added up for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.channel.ring import backlog_rows
from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.slot.journal import Journal, Record
from penstock.slot.life import FailureNote
from penstock.supervisor.protocol import RunSpec, StageEnd, StageSpec


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


def final_totals(root: Path, spec: RunSpec) -> FinalTotals:
    """Read everything once; the workers are gone."""
    sums = {stage.name: _sums(root, stage) for stage in spec.stages}
    records = _records(root, spec)
    notes = (_hopeless(stage, sums[stage.name]) for stage in spec.stages)
    return FinalTotals(
        stages=[_stage_end(name, words) for name, words in sums.items()],
        undelivered_rows=sum(backlog_rows(root / name) for name in spec.queues) - _rows_half_way(records),
        cut_short=any(_cut_short(root / name) for stage in spec.stages for name in stage.journals),
        hopeless=next((note for note in notes if note is not None), None),
        untouched=all(record.number == 0 for record in records),
    )


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


def _records(root: Path, spec: RunSpec) -> list[Record]:
    """The last commit of every slot."""
    journals = [Journal(RunPaths(root).seat(seat.seat, seat.slot).journal) for seat in spec.seats]
    records = [journal.load() for journal in journals]
    for journal in journals:
        journal.close()
    return records


def _rows_half_way(records: Sequence[Record]) -> int:
    """Rows that are done, though the frame they came in stands in its queue till its last one is."""
    return sum(stand.rows_done for record in records for part in record.parts for stand in part.inputs)


def _cut_short(path: Path) -> bool:
    journal = Journal(path)
    try:
        return any(not split.done for part in journal.load().parts for split in part.splits.values())
    finally:
        journal.close()
