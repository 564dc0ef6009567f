"""What a worker tells its pages while it lives: what it is doing, for how long, and how long batches took."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.metrics.catalogue import Activity, Word
from penstock.metrics.latency import bucket
from penstock.metrics.page import Page
from penstock.slot.input.intake import Intake
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.slot_stage import SlotStage

_SUM = {
    Activity.BUSY: Word.BUSY_NS,
    Activity.WAITING_FOR_INPUT: Word.INPUT_WAIT_NS,
    Activity.WAITING_FOR_OUTPUT: Word.OUTPUT_WAIT_NS,
}


class Meter:
    """The clocks of one slot; stages that share a slot share its time."""

    def __init__(self, pages: Sequence[Page], clock: Clock) -> None:
        self._now_ns, self._wall_ns = clock.now_ns, clock.wall_ns
        self._pages = tuple(page.words for page in pages)
        self._activity = Activity.NONE
        self._since = self._now_ns()
        self._taken: list[int] = []
        """When the batches of the turn were taken, by the monotonic clock."""
        self._ingested: list[int] = []
        """When their rows entered the pipeline, by the wall clock, where they leave it here."""

    def now_doing(self, activity: Activity) -> None:
        """Book the time since the last call on what was done till now."""
        if activity is not self._activity:
            self._book(activity)

    def _book(self, activity: Activity) -> None:
        now = self._now_ns()
        spent = now - self._since
        word = _SUM.get(self._activity)
        for words in self._pages:
            # The sum before the start of the next spell: a reader in between counts the spell twice, never loses it.
            if word is not None:
                words[word] += spent
            words[Word.ACTIVITY] = activity
            words[Word.ACTIVITY_SINCE_NS] = now
            if self._activity is Activity.WAITING_FOR_OUTPUT and spent > words[Word.LONGEST_BLOCKED_NS]:
                words[Word.LONGEST_BLOCKED_NS] = spent
        self._activity, self._since = activity, now

    def batch_taken(self, intake: Intake, *, is_last: bool) -> None:
        """A batch is in progress. `is_last`: its rows leave the pipeline here."""
        self._taken.append(intake.taken_ns)
        if is_last:
            self._ingested.append(intake.ingest_ns)

    def committed(self, stage: SlotStage) -> None:
        """A turn of the stage is through."""
        self._book(self._activity)  # a kill loses what is not booked
        now, words = self._now_ns(), stage.page.words
        for taken in self._taken:
            words[Word.BATCH_LATENCY + bucket(max(now - taken, 0))] += 1
        words[Word.LAST_PROGRESS_NS] = now
        if self._ingested:
            wall = self._wall_ns()
            for ingest in self._ingested:
                if ingest:
                    words[Word.END_TO_END + bucket(max(wall - ingest, 0))] += 1
        self._taken, self._ingested = [], []
