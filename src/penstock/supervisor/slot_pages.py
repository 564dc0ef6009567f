"""What the supervisor reads and writes of a slot's pages: which rows are in progress, and the figures of its stages.

Nothing is mapped: a page that somebody cuts must not be the supervisor's death.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.errors import FileUnusable, QueueDamaged
from penstock.metrics.catalogue import Activity, Word
from penstock.metrics.page import Page
from penstock.plan.paths import SlotPaths
from penstock.shared_file import Opening
from penstock.slot.records.journal import load_number
from penstock.slot.records.life import Exit
from penstock.slot.records.work_page import WorkPage, WorkState
from penstock.supervisor.restart import Progress


class SlotPages:
    """The pages of one slot."""

    def __init__(self, paths: SlotPaths, stages: Sequence[str], opening: Opening) -> None:
        self._work = WorkPage(paths.work, opening)
        self._pages = [Page(paths.folder / f"{stage}.page", opening, writable=True) for stage in stages]
        self._at_birth = self.commits()
        # By the journal: a worker may die before its page shows what it has committed. Read while no worker lives.
        self._journal = paths.journal
        self._opening = opening
        self._number = 0
        self._number_at_start = self._number_at_birth = self._look_for_number()
        for page in self._pages:  # a new run judges the code again, and slots ask each other before all are born
            page.words[Word.ROWS_FAILED_BEFORE_SUCCESS] = page.words[Word.ENDED_WITHOUT_SUCCESS] = 0

    def commits(self) -> int:
        return sum(int(page.words[Word.COMMITS]) for page in self._pages)

    @property
    def proven(self) -> bool:
        """True: a life of this run has got something done, as far as is known: while it lives, its page says so."""
        return self._number > self._number_at_start or self.committed

    @property
    def committed(self) -> bool:
        """True: the life that was born last has got something done."""
        return self.commits() > self._at_birth

    def progress(self) -> Progress:
        """How far this life came; to be asked before `died`, once the worker is gone."""
        if self._look_for_number() > self._number_at_birth:
            return Progress.COMMITTED
        waiting = (Activity.WAITING_FOR_INPUT, Activity.WAITING_FOR_OUTPUT)
        return Progress.IDLE if any(p.words[Word.ACTIVITY] in waiting for p in self._pages) else Progress.NONE

    def _look_for_number(self) -> int:
        """The number of the last record in the journal."""
        try:
            self._number = load_number(self._journal, self._opening)
        except (QueueDamaged, FileUnusable):
            return self._number  # whoever needs the record itself reports the damage
        return self._number

    def in_work(self) -> WorkState:
        """What the worker is at."""
        return self._work.read()

    def left_with(self, attempt: int, pid: int, code: int | None) -> Exit | None:
        """How it left, where it left in order: by its word on the page of work, never by a code alone."""
        said = self._work.farewell(attempt, pid)
        return Exit(said) if said is not None and said == code else None

    def clear(self) -> None:
        """Before a birth: what is said of the life before is judged by now."""
        self._work.clear()
        self._number_at_birth = self._look_for_number()

    def born(self, pid: int, attempt: int) -> None:
        self._at_birth = self.commits()
        for page in self._pages:
            page.words[Word.PID], page.words[Word.ATTEMPT] = pid, attempt

    def died(self) -> None:
        for page in self._pages:
            page.words[Word.PID] = 0
            if page.words[Word.ACTIVITY] != Activity.FINISHED:
                page.words[Word.ACTIVITY] = Activity.NONE

    def count_restart(self) -> None:
        for page in self._pages:
            page.words[Word.RESTARTS] += 1
