"""One stage in one slot: where its rows come from, what is done with them, where they go, and its committed counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from penstock.event_time import NO_WATERMARK
from penstock.metrics.catalogue import MOST_RECEIVERS, MOST_TIMED_EDGES, Word, watermark_word
from penstock.metrics.page import Page
from penstock.operator import Context
from penstock.plan.plan import StagePlan
from penstock.sink import Sink
from penstock.slot.input.batches import Out
from penstock.slot.input.intake import Intake
from penstock.slot.input.queue_inputs import QueueInputs
from penstock.slot.input.source_input import SourceInput
from penstock.slot.output.outputs import FRAME_BYTES, EdgeOutput, QueueOutput
from penstock.slot.output.sink_output import SinkOutput
from penstock.slot.records.record import Counts, SpillRecord, StageRecord
from penstock.slot.user_code.chain import Chain
from penstock.slot.watermarks.origin import together
from penstock.slot.watermarks.stage_time import StageTime

FIRST_ROWS: Final = 1
"""This many rows are tried before anything is known of what they give and take: they may be slow, or large."""
FIRST_BATCH_ROWS: Final = 64
"""As `FIRST_ROWS`, where functions are called for many rows at once, or for several at the same time."""
GROWTH: Final = 8
"""A piece has at most this many times the rows of the one before."""
PIECE_S: Final = 0.05
"""A piece is as many rows as are expected to give a frame, or to take so long: what a kill undoes stays small."""
_COLUMNS_PIECE_BYTES: Final = 4 * 1024 * 1024
"""What batch functions give at once, at most; of a small queue, three quarters: more would wait until it is empty."""
_LINGER_S: Final = 0.005
"""How long a stage without outputs collects."""


class SlotStage:
    """All of a stage in this slot. Not a dataclass: to make one takes longer than all else that is imported here."""

    def __init__(
        self, number: int, plan: StagePlan, context: Context, inputs: QueueInputs | SourceInput, chain: Chain,
        outs: list[Out], edges: list[EdgeOutput], pages: Sequence[Page],
    ) -> None:
        """`number`: its place among the stages of the slot. `outs`: what the leaves gave, that of a sink is the last.

        `edges`: those of the other leaves. `pages`: the stage's in all its slots.
        """
        self.number = number
        self.plan = plan
        self.context = context
        self.inputs = inputs
        self.chain = chain
        self.outs = outs
        self.edges = edges
        self.page = pages[context.slot]
        self.sibling_pages = pages
        self.deals_turns = False
        """True: what it gives out is numbered by turns of its own."""
        self.carries_turns = False
        """True: what it gives out has the numbers of the turns it took in."""
        self.counts = Counts()
        self.turn_out = 0
        self.spills: list[SpillRecord] = []
        """What a row gave that was too much for memory, still to be sent."""
        self.unsent: dict[str, list[int]] = {}
        """As in `StageRecord`."""
        self.finished = False
        self.sink_output = SinkOutput()
        self.last_error = ""
        """What went wrong with a row last, not yet told."""
        self.last_error_stage = ""
        """The stage whose row that was: this one, or one that it could not be sent to."""
        self.bytes_per_row = 0.0
        """Bytes given out per input row, as last seen."""
        self.seconds_per_row = 0.0
        """Time in row functions per input row, as last seen."""
        self.time: StageTime | None = None
        """How far event time has come; None: no row here has a time, and nothing waits for one."""
        self.moments: Out | None = None
        """The times of rows that were given out, where the stage gives them; emptied at once."""
        self.rows_in_flight = 0
        """Rows of an async stage that were called for and are not given out."""
        self.last_piece_rows = 0
        self.all_outs = outs
        """What `chain` fills: `outs` and `moments`."""
        self.receivers: Sequence[str] = sorted({edge.edge.receiver for edge in edges})[:MOST_RECEIVERS]
        """The stages that rows go to, as the page has them."""
        self.queues: Sequence[QueueOutput] = tuple(queue for edge in edges for queue in edge.queues)
        """The queues of all edges."""
        self.linger_s = min((edge.edge.linger_s for edge in edges), default=_LINGER_S)
        """How long rows are collected for a turn while the receivers are busy."""
        self.piece_bytes = float(FRAME_BYTES)
        """What a piece gives at most, in bytes."""
        if chain.has_batch_operators:  # a call costs much, and what it gives is committed at once
            self.piece_bytes = min([_COLUMNS_PIECE_BYTES, *(queue.capacity * 0.75 for queue in self.queues)])
        self.most_rows = FIRST_BATCH_ROWS if chain.has_batch_operators or chain.is_async else FIRST_ROWS
        """What the next piece may have, by how long it may get at once."""

    def give_moments(self) -> None:
        """From the first row on, the times of rows are given, too."""
        self.moments = Out()
        self.all_outs = [*self.outs, self.moments]

    @property
    def sink(self) -> Sink[Any] | None:
        return self.plan.sink

    @property
    def in_place_retries(self) -> bool:
        """True: a row that failed holds up those behind it, because they may not overtake."""
        return self.plan.settings.ordered or self.deals_turns or self.carries_turns

    def piece_rows(self, left: int) -> int:
        """How many of the rows that are left to take next: what they give, and what a kill would undo, stays small."""
        if not self.plan.nodes:
            return left
        if self.chain.asked_rows:
            return self._asked_rows(left)
        rows = float(self.most_rows)
        if self.bytes_per_row and self.edges:
            rows = min(rows, self.piece_bytes / self.bytes_per_row)
        if self.seconds_per_row and not self.chain.has_batch_operators:
            rows = min(rows, PIECE_S / self.seconds_per_row)
        most = max(int(rows), 1)
        return left if left <= most else -(-left // -(-left // most))  # in pieces of one size, no crumbs

    def _asked_rows(self, left: int) -> int:
        """As many as were asked for, unless they give far too much."""
        rows = min(left, self.chain.asked_rows)
        if self.bytes_per_row and self.edges:
            rows = min(rows, int(self.piece_bytes / self.bytes_per_row))
        return max(rows, 1)

    def learn_pace(self, rows: int, seconds: float) -> None:
        """A piece is through; for the next `piece_rows`."""
        self.last_piece_rows, self.most_rows = rows, rows * GROWTH
        self.seconds_per_row = _weighed(self.seconds_per_row, seconds / rows)

    @property
    def piece_s(self) -> float:
        """How long a piece like the last one is expected to take, in seconds."""
        return self.seconds_per_row * self.last_piece_rows

    def is_waited_for(self) -> bool:
        """True: a receiver has nothing to do and sleeps until something comes."""
        return any(queue.reader_waits for queue in self.queues)

    def learn(self, rows_in: int, bytes_out: int) -> None:
        """What rows gave; for the next `piece_rows`."""
        if rows_in:
            self.bytes_per_row = _weighed(self.bytes_per_row, bytes_out / rows_in)

    def restore(self, record: StageRecord) -> None:
        """Take over from what is committed."""
        self.counts = record.counts
        self.turn_out = record.turn_out
        self.finished = record.finished
        self.spills = record.spills
        self.unsent = record.unsent
        self.sink_output.position, self.sink_output.epoch = record.sink_position, record.epoch
        if self.time is not None:
            self.time.watermark = record.watermark
        self.inputs.restore(record)
        for queue in self.queues:
            queue.restore(record.outputs[queue.name])

    def save(self) -> StageRecord:
        """What a successor must know."""
        watermark = NO_WATERMARK
        if self.time is not None:
            watermark = self.time.watermark
            self.counts.late += self.time.count_late()
        record = StageRecord(
            outputs={queue.name: queue.record() for queue in self.queues},
            counts=self.counts, sink_position=self.sink_output.position, turn_out=self.turn_out, finished=self.finished,
            spills=self.spills, unsent=self.unsent, watermark=watermark, epoch=self.sink_output.epoch,
        )
        self.inputs.save(record)
        return record

    def publish(self, *, always: bool = False) -> None:
        """Show neighbours what is committed. `always`: a successor's first word, no commit."""
        for out in self.queues:
            out.queue.publish(always=always)
        self.inputs.publish()

    def show_counts(self, *, commit: bool) -> None:
        """Show readers of the page what is committed; neighbours were rung before, as they wait and nobody waits here.

        Not a `commit`: a successor's first word, else a life that dies at once would count as one that got something
        done.
        """
        words, counts = self.page.words, self.counts
        words[Word.ROWS_IN], words[Word.ROWS_OUT] = counts.rows_in, counts.rows_out
        words[Word.RETRIES], words[Word.DEAD_LETTERS] = counts.retries, counts.dead_letters
        words[Word.SKIPPED] = counts.skipped
        words[Word.FRAMES_IN], words[Word.FRAMES_OUT] = counts.frames_in, counts.frames_out
        words[Word.BYTES_IN], words[Word.BYTES_OUT] = counts.bytes_in, counts.bytes_out
        words[Word.ROWS_FAILED_BEFORE_SUCCESS] = counts.failed_before_success
        words[Word.ROWS_SUCCEEDED] = counts.succeeded
        if self.time is not None:
            self._show_time(self.time)
        if self.unsent:
            for number, receiver in enumerate(self.receivers):
                if receiver in self.unsent:
                    word = Word.UNSENT + 2 * number
                    words[word], words[word + 1] = self.unsent[receiver]
        if commit:
            words[Word.COMMITS] += 1
        else:
            words[Word.ENDED_WITHOUT_SUCCESS] = int(self.finished and not counts.succeeded)

    def note_moments(self, intake: Intake) -> None:
        """Rows of an intake were given out: event time may have come further in its input."""
        if self.moments is not None and self.time is not None:
            self.time.note(self.inputs.origin_of(intake), self.moments.rows, intake.ingest_ns)

    def lags(self) -> bool:
        """True: a receiver has not been told yet how far event time has come."""
        event_time = self.time
        if event_time is None or not self.queues or self.spills:
            return False
        known = event_time.for_receivers()
        return any(queue.lags(known, event_time.idle) for queue in self.queues)

    def _show_time(self, event_time: StageTime) -> None:
        words, word = self.page.words, Word.EVENT_TIME
        words[Word.LATE] = self.counts.late
        words[word], words[word + 1] = watermark_word(event_time.watermark), int(event_time.is_used)
        words[word + 2] = int(event_time.idle)
        if not event_time.is_used:
            return
        for origins in self.inputs.origins_by_edge()[:MOST_TIMED_EDGES]:
            word += 3
            watermark, _ = together(origins)
            words[word], words[word + 1] = watermark_word(watermark), len(origins)
            words[word + 2] = sum(origin.idle for origin in origins)

    def count_unsent(self, receiver: str, *, set_aside: int = 0, skipped: int = 0) -> None:
        """Rows that could not be sent to a stage: they are its rows, and its loss."""
        counts = self.unsent.setdefault(receiver, [0, 0])
        counts[0] += set_aside
        counts[1] += skipped

    def clear_outs(self) -> None:
        """Forget what is committed now; the lists themselves stay, because they are bound into programs."""
        for out in self.outs:
            out.rows = []
            out.blocks = []

    def forget_moments(self) -> None:
        """Those of a row that was not given out after all, or out of its place."""
        if self.moments is not None:
            self.moments.rows.clear()


def _weighed(before: float, now: float) -> float:
    """Up at once, down slowly."""
    return max(now, (before + now) / 2)
