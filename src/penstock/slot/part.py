"""One stage in one slot: where its rows come from, what is done with them, where they go, and its committed counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.metrics.catalogue import Word
from penstock.metrics.page import Page
from penstock.operator import Context
from penstock.plan.plan import StagePlan
from penstock.sink import Sink, Writer
from penstock.slot.batches import Out
from penstock.slot.chain import Chain
from penstock.slot.inputs import QueueInputs, SourceInput
from penstock.slot.journal import Counts, PartRecord
from penstock.slot.outputs import EdgeOutput

FIRST_PIECE_ROWS = 256
"""So many rows are tried before anything is known of the size of what they give."""
PIECE_BYTES = 256 * 1024
"""A piece is as many rows as are expected to give so much."""


@dataclass(slots=True)
class Part:
    """All of a stage in this slot. `number` is its place among the stages of the slot."""

    number: int
    plan: StagePlan
    context: Context
    inputs: QueueInputs | SourceInput
    chain: Chain
    outs: list[Out]
    edges: list[EdgeOutput]
    """The edge of each leaf; the leaf of a sink is the last of `outs` and has none."""
    page: Page
    sibling_pages: Sequence[Page]
    """The stage's pages in all its slots."""
    deals_turns: bool = False
    """True: what it gives out is numbered by turns of its own."""
    carries_turns: bool = False
    """True: what it gives out has the numbers of the turns it took in."""
    counts: Counts = field(default_factory=Counts)
    turn_out: int = 0
    finished: bool = False
    writer: Writer[Any] | None = None
    sink_position: Any = None
    last_error: str = ""
    """What went wrong with a row last, not yet told."""
    last_error_told: str = ""
    bytes_per_row: float | None = None
    """Bytes given out per input row, as last seen."""

    @property
    def sink(self) -> Sink[Any] | None:
        return self.plan.sink

    @property
    def sink_name(self) -> str:
        return self.plan.sink.target if self.plan.sink is not None else "sink"

    @property
    def in_place_retries(self) -> bool:
        """True: a row that failed holds up those behind it, because they may not overtake."""
        return self.plan.settings.ordered or self.deals_turns or self.carries_turns

    def piece_rows(self) -> int:
        """How many rows to take next, so that what they give stays small."""
        if not self.edges or not self.plan.nodes:
            return 1 << 30
        if self.bytes_per_row is None:
            return FIRST_PIECE_ROWS
        return max(int(PIECE_BYTES / self.bytes_per_row), 1) if self.bytes_per_row else 1 << 30

    def learn(self, rows_in: int, bytes_out: int) -> None:
        """What rows gave, for the next `piece_rows`."""
        if rows_in:
            seen = bytes_out / rows_in
            self.bytes_per_row = seen if self.bytes_per_row is None else max(seen, (self.bytes_per_row + seen) / 2)

    def restore(self, record: PartRecord) -> None:
        """Take over from what is committed."""
        self.counts = record.counts
        self.turn_out = record.turn_out
        self.finished = record.finished
        self.sink_position = record.sink_position
        self.inputs.restore(record)
        queues = [queue for edge in self.edges for queue in edge.queues]
        for queue, saved in zip(queues, record.outputs, strict=True):
            queue.restore(saved)

    def save(self) -> PartRecord:
        """What a successor must know."""
        record = PartRecord(
            outputs=[queue.record() for edge in self.edges for queue in edge.queues],
            counts=self.counts, sink_position=self.sink_position, turn_out=self.turn_out, finished=self.finished,
        )
        self.inputs.save(record)
        return record

    def publish(self, *, always: bool = False) -> None:
        """Show neighbours and readers of the page what is committed."""
        for edge in self.edges:
            for queue in edge.queues:
                queue.publish(always=always)
        self.inputs.publish()
        words, counts = self.page.words, self.counts
        words[Word.ROWS_IN], words[Word.ROWS_OUT] = counts.rows_in, counts.rows_out
        words[Word.RETRIES], words[Word.DEAD_LETTERS] = counts.retries, counts.dead_letters
        words[Word.SKIPPED] = counts.skipped
        words[Word.FRAMES_IN], words[Word.FRAMES_OUT] = counts.frames_in, counts.frames_out
        words[Word.BYTES_IN], words[Word.BYTES_OUT] = counts.bytes_in, counts.bytes_out
        words[Word.ROWS_FAILED_BEFORE_SUCCESS] = counts.failed_before_success
        words[Word.ROWS_SUCCEEDED] = counts.succeeded
        words[Word.COMMITS] += 1

    def clear_outs(self) -> None:
        """Forget what is committed now; the lists themselves stay, for they are bound into programs."""
        for out in self.outs:
            out.rows = []
            out.blocks = []
