"""What this life knows of rows that killed or hung the lives before it, and how carefully it must go."""

from __future__ import annotations

from typing import Final

from penstock.slot.records.life import Blamed, Life, Suspect
from penstock.slot.records.work_page import Mark

_ALL: Final = 1 << 30


class Suspicion:
    """Asked by the loop before every piece of work."""

    def __init__(self, life: Life) -> None:
        self._suspect: Suspect | None = life.suspect
        self._blamed = {blamed.key: blamed for blamed in life.blamed}
        self._careful_left = life.careful
        self._ungathered_left = life.ungathered

    @property
    def any_blamed(self) -> bool:
        return bool(self._blamed)

    @property
    def trusts_all(self) -> bool:
        """True: no row need be looked at before it is called for."""
        return self._suspect is None and not self._blamed and self._careful_left <= 0

    def gathers(self, stage: int, input: int, sequence: int, first: int, rows: int) -> bool:
        """True: these rows may be given to a function together with those of other batches."""
        if self._careful_left > 0 or self._ungathered_left > 0:
            return False
        suspect, frame = self._suspect, (stage, input, sequence)
        if suspect is not None and (suspect.stage, suspect.input, suspect.sequence) == frame:
            if suspect.row < first + rows and first < suspect.row + suspect.count:
                return False
        return not any(key[:3] == frame and first <= key[3] < first + rows for key in self._blamed)

    def blamed(self, mark: Mark) -> Blamed | None:
        """Set when user code must not be called for the first row of `mark`."""
        if not self._blamed:
            return None
        return self._blamed.get((mark.stage, mark.input, mark.sequence, mark.row))

    def concerns(self, frame: tuple[int, int, int]) -> bool:
        """True: a row of this frame did harm, or may have; its rows are decoded one by one."""
        if self._suspect is not None and (self._suspect.stage, self._suspect.input, self._suspect.sequence) == frame:
            return True
        return any(key[:3] == frame for key in self._blamed)

    def careful(self, mark: Mark) -> bool:
        """True: commit before and after this piece."""
        return self._careful_left > 0 or (self._suspect is not None and self._suspect.covers(mark))

    def piece(self, mark: Mark) -> int:
        """Rows to take at most."""
        if self._careful_left > 0:
            return 1
        suspect = self._suspect
        if suspect is None or not suspect.covers(mark):
            return _ALL
        return min(suspect.piece, suspect.row + suspect.count - mark.row)

    def pause_s(self, mark: Mark) -> float:
        """How long to do nothing before the call, so that somebody who kills at random may do so while no row runs."""
        if self._suspect is None or not self._suspect.covers(mark):
            return 0.0
        return self._suspect.pause_s

    def rows_done(self, rows: int) -> None:
        """This many rows are through."""
        self._careful_left = max(self._careful_left - rows, 0)
        self._ungathered_left = max(self._ungathered_left - rows, 0)
