"""Event time as it passes in a slot: operators are told, receivers are told, and inputs without rows are set aside.

`loop` asks after each batch, and before it sleeps. What follows from the time (`timed_rows`) is given out at once,
within the turn of the batch that moved it or in turns of its own; only then does the stage count as having come so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from penstock.event_time import END_OF_TIME
from penstock.metrics.catalogue import Word
from penstock.slot.time_and_chance import Clock
from penstock.slot.turn.slot_stage import SlotStage
from penstock.slot.turn.turn import Turn
from penstock.slot.watermarks.stage_time import TELL_S, StageTime

if TYPE_CHECKING:
    from penstock.slot.running.timed_rows import TimedRows


class PassingTime:
    """The time of one slot's stages."""

    def __init__(self, stages: Sequence[SlotStage], rows: TimedRows | None, *, turn: Turn, clock: Clock) -> None:
        """`rows`: gives out what follows; None: no stage has a time."""
        self._stages = tuple(stage for stage in stages if stage.time is not None)
        self._rows = rows
        self._turn = turn
        self._now_s = clock.now_s
        self._wall_ns = clock.wall_ns
        self._look_at = 0.0

    def begin(self) -> None:
        """What an earlier life did not get to, before any input is taken."""
        for stage in self._stages:
            if stage.time is not None and not stage.finished:
                stage.chain.begin_at(stage.time.watermark)
                self._advance(stage, stage.time)

    def batch_through(self, stage: SlotStage) -> None:
        """A stage has done something."""
        if stage.time is None:
            return
        self._advance(stage, stage.time)
        now = self._now_s()
        if now >= self._look_at:
            self._look_at = now + TELL_S
            self._look(stage, stage.time, now)
            if stage.lags():
                self._turn.tell_time(stage)

    def before_sleep(self) -> bool:
        """Nothing else is to be done now. True: something was, after all."""
        did = False
        for stage in self._stages:
            if stage.time is not None and not stage.finished:
                commits = stage.page.words[Word.COMMITS]
                self._look(stage, stage.time, self._now_s())
                did = self._advance(stage, stage.time) or did
                if not self._turn.pending and stage.lags():
                    self._turn.tell_time(stage)
                did = did or stage.page.words[Word.COMMITS] != commits
        return did

    def end(self, stage: SlotStage) -> None:
        """The input of a stage is through, and no row of it waits. What follows belongs to its last turns.

        Not where a source was stopped before its end: windows that are open stay open, for the run that resumes.
        """
        if stage.time is None or not stage.inputs.through:
            return
        self._advance(stage, stage.time)
        for node, call in stage.chain.keyed_calls:
            self._give(stage, node, call.end(), END_OF_TIME)

    def naps(self) -> list[float]:
        """How long each of those may be slept that wake by the clock."""
        found = []
        for stage in self._stages:
            event_time = stage.time
            if event_time is None or stage.finished:
                continue
            idle_s = event_time.idle_in_s()
            if idle_s is not None:
                found.append(idle_s)
            if stage.lags():  # a receiver had no room to be told
                found.append(TELL_S)
            ticks = [call.next_tick_us for call in event_time.calls if call.next_tick_us is not None]
            if ticks:
                found.append(max(min(ticks) / 1e6 - self._wall_ns() / 1e9, 0.0))
        return found

    def _advance(self, stage: SlotStage, event_time: StageTime) -> bool:
        """Let the stage come as far as its inputs have. False: it has."""
        reached = event_time.reached()
        if reached <= event_time.watermark:
            return False
        for node, call in stage.chain.keyed_calls:
            self._give(stage, node, call.advance(reached), reached)
        # Last: killed before the commit that says so, the next life advances once more, over what is left. And what one
        # operator gave is in time for those behind it.
        event_time.watermark = stage.chain.watermark_us = reached
        if event_time.calls:
            self._turn.has_passed(stage)
        return True

    def _give(self, stage: SlotStage, node: int, rows: Iterable[Any], at_us: int) -> None:
        assert self._rows is not None
        self._rows.give(stage, node, rows, at_us)

    def _look(self, stage: SlotStage, event_time: StageTime, now_s: float) -> None:
        """For inputs that have nothing, and for what is due by the wall clock."""
        held_up_s = stage.page.words[Word.OUTPUT_WAIT_NS] / 1e9
        event_time.look_for_idle(now_s - held_up_s)
        for node, call in stage.chain.keyed_calls:
            due, now_us = call.next_tick_us, self._wall_ns() // 1000
            if due is not None and due <= now_us:
                self._give(stage, node, call.tick(now_us), now_us)
                self._turn.has_passed(stage)
