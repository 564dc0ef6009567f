"""Simulated lives of one slot: a batch of rows, somebody who kills, and `Blame` between the lives.

A life starts, works its rows in the pieces that it was told, pauses where it was told to, and commits each piece.
It dies where the killer or a row says so; nothing here sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from penstock.slot.records.life import Blamed, Suspect
from penstock.slot.records.work_page import Mark
from penstock.supervisor.blame import Blame, Cause, Death

Killer = Callable[[float], float]
"""Moment of a birth to moment of the kill."""
STARTUP_S = 0.03
FRAME = (0, 0, 7)


@dataclass(frozen=True)
class Row:
    """How long its call takes, and what becomes of the worker in it."""

    seconds: float = 0.001
    doom: Cause | None = None
    after_s: float = 0.0
    """How far into the call the worker dies."""


@dataclass
class Told:
    """What a simulation ended with."""

    blamed: list[int] = field(default_factory=list)
    done: int = 0
    deaths: int = 0
    counted: int = 0
    at_s: float = 0.0
    calls: dict[int, int] = field(default_factory=dict)


@dataclass
class Slot:
    """One slot through its lives."""

    rows: Sequence[Row]
    random: Random
    killer: Killer = lambda born_s: float("inf")
    batched: bool = False
    """True: a batch function; a row dooms the whole call."""
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self._blame = Blame(bisects=self.batched, chance=self.random.random)
        self._suspect: Suspect | None = None
        self._blamed: dict[int, Blamed] = {}

    def run(self, lives: int) -> Told:
        """Until all rows are through, or so many lives have ended."""
        for attempt in range(1, lives + 1):
            death = self._live(attempt)
            if death is None:
                break
            self.told.deaths += 1
            verdict = self._blame.on_death(death)
            self._suspect = verdict.suspect
            self.told.counted += verdict.counted
            if verdict.blamed is not None:
                assert (verdict.blamed.stage, verdict.blamed.input, verdict.blamed.sequence) == FRAME
                self._blamed[verdict.blamed.row] = verdict.blamed
                self.told.blamed.append(verdict.blamed.row)
        return self.told

    def _live(self, attempt: int) -> Death | None:
        born = now = self.told.at_s
        kill = self.killer(born)

        def killed(mark: Mark | None, in_call_s: float) -> Death:
            self.told.at_s = kill
            return Death(Cause.KILLED, mark, in_call_s, kill - born, "signal SIGKILL", attempt)

        now += STARTUP_S
        if kill < now:
            return killed(None, 0.0)
        while self.told.done < len(self.rows):
            mark = self._next_piece()
            if mark is None:
                self.told.done += 1
                continue
            now += self._pause(mark)
            if kill < now:
                return killed(None, 0.0)
            ends, death = self._call(mark, now, born, attempt)
            if kill < ends:
                return killed(mark, kill - now)
            now = self.told.at_s = ends
            if death is not None:
                return death
            self.told.done += mark.count
        return None

    def _next_piece(self) -> Mark | None:
        start = self.told.done
        if start in self._blamed:
            return None
        first = Mark(*FRAME, start, 1)
        rows = len(self.rows) - start
        if self._suspect is not None and self._suspect.covers(first):
            rows = min(rows, self._suspect.piece, self._suspect.row + self._suspect.count - start)
        blamed = [row - start for row in self._blamed if start < row < start + rows]
        return Mark(*FRAME, start, min([rows, *blamed]))

    def _pause(self, mark: Mark) -> float:
        covered = self._suspect is not None and self._suspect.covers(mark)
        return self._suspect.pause_s if self._suspect is not None and covered else 0.0

    def _call(self, mark: Mark, now: float, born: float, attempt: int) -> tuple[float, Death | None]:
        """When it ends, and the death that a row brings."""
        began = now
        for index in range(mark.row, mark.row + mark.count):
            row = self.rows[index]
            self.told.calls[index] = self.told.calls.get(index, 0) + 1
            if row.doom is not None:
                now += row.after_s * self.random.uniform(0.8, 1.2)
                what = "signal SIGKILL" if row.doom is Cause.KILLED else "signal SIGSEGV"
                return now, Death(row.doom, mark, now - began, now - born, what, attempt)
            now += row.seconds
        return now, None
