"""One slot, as the supervisor sees it: its worker's life, its page of work, what it prints."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from enum import Enum
from pathlib import Path

from penstock.channel.bell import Ringers, open_fifo
from penstock.metrics.catalogue import Activity, Word
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths
from penstock.shared_file import by_calls
from penstock.slot.life import Blamed, Exit, Life, Suspect
from penstock.slot.stack import ASKS
from penstock.slot.work import OPENED, WorkPage, WorkState
from penstock.standard_streams import is_full
from penstock.supervisor.blame import Blame
from penstock.supervisor.first_row import FirstRow, wanted_s
from penstock.supervisor.held_up import is_stopped
from penstock.supervisor.protocol import SeatSpec
from penstock.supervisor.restart import Progress
from penstock.supervisor.watchdog import Watchdog
from penstock.supervisor.whole_lines import WholeLines


class ChildState(Enum):
    """The life of a seat."""

    WAITING = "waiting"
    """For its time to be born."""
    SPAWNING = "spawning"
    ALIVE = "alive"
    FINISHED = "finished"
    GONE = "gone"
    """Dead, and nobody follows."""


class Child:
    """A seat and the worker in it."""

    def __init__(self, spec: SeatSpec, root: Path, ringers: Ringers) -> None:
        self.spec = spec
        self.paths = RunPaths(root).seat(spec.seat, spec.slot)
        self.state = ChildState.WAITING
        self.due = 0.0
        self.attempt = 0
        self.pid = 0
        self.pidfd: int | None = None
        self.born_at = 0.0
        self.exited_at: float | None = None
        """When its exit was seen whose status the zygote has yet to tell."""
        self.zygote: object = None
        """Who forked it."""
        self.timed_out = False
        self.told_at = 0.0
        self.deaths_untold = 0
        self.blame_told: Blamed | None = None
        self.commits_at_birth = 0
        self.first_row: FirstRow | None = None
        """What watches the life until it has got something done, or has been told of."""
        self.blame = Blame(bisects=spec.bisects)
        self.suspect: Suspect | None = None
        self.blamed: tuple[Blamed, ...] = ()
        self.careful = 0
        self.ungathered = 0
        # Nothing is mapped: a page that somebody cuts must not be the supervisor's death.
        self.work = WorkPage(self.paths.work, by_calls)
        self.bell = ringers.of(self.paths.bell)
        self.pages = [
            Page(self.paths.folder / f"{stage}.page", by_calls, writable=True) for stage in spec.stages
        ]
        self.commits_at_start = self.commits()
        for page in self.pages:  # a new run judges the code anew, and slots ask each other before all are born
            page.words[Word.ROWS_FAILED_BEFORE_SUCCESS] = page.words[Word.ENDED_WITHOUT_SUCCESS] = 0
        self.neighbours = [ringers.of(root / bell) for bell in dict.fromkeys((*spec.senders, *spec.receivers))]
        self.log_fd = open_fifo(self.paths.log, "the way of what is printed")
        self.stdout_fd = open_fifo(self.paths.stdout, "the way to standard output")
        self._watchdog = Watchdog()
        self.said = WholeLines()
        self.printed = WholeLines()

    def life(self, run_id: str, dead_letters: str, log_level: int = 20) -> Life:
        """The next life, as the worker is told of it."""
        self.attempt += 1
        self.work.clear(self.attempt)  # what it says of the one before is judged by now
        crashes = self.spec.crashes if self.attempt == 1 else ()
        life = Life(
            self.spec.seat, self.spec.slot, self.attempt, run_id, dead_letters, self.suspect, self.careful,
            self.blamed, crashes, self.ungathered, anew=self.commits() == self.commits_at_start,
            log_level=log_level,
        )
        self.careful = self.ungathered = 0
        self.timed_out = False
        return life

    def born(self, pid: int, pidfd: int) -> None:
        self.state, self.pid, self.pidfd, self.born_at = ChildState.ALIVE, pid, pidfd, time.monotonic()
        self.exited_at = None
        self.commits_at_birth = self.commits()
        self.first_row = FirstRow(self.born_at)
        for page in self.pages:
            page.words[Word.PID], page.words[Word.ATTEMPT] = pid, self.attempt

    def left_with(self, code: int | None) -> Exit | None:
        """How it left, where it left in order: by its word on the page of work, never by a code alone."""
        said = self.work.farewell(self.attempt, self.pid)
        return Exit(said) if said is not None and said == code else None

    def died(self) -> None:
        """The worker is gone: neighbours look at what it may have published without ringing."""
        self._close_pidfd()
        for page in self.pages:
            page.words[Word.PID] = 0
            if page.words[Word.ACTIVITY] != Activity.FINISHED:
                page.words[Word.ACTIVITY] = Activity.NONE
        for bell in self.neighbours:
            bell.ring()

    def gone(self) -> None:
        """The worker is gone, nobody follows, and its files cannot be trusted."""
        self._close_pidfd()
        self.state = ChildState.GONE

    def show_stack(self) -> None:
        """Ask a worker that listens where it stands."""
        if self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, ASKS)

    def _close_pidfd(self) -> None:
        self.first_row = None
        if self.pidfd is not None:
            os.close(self.pidfd)
        self.pidfd, self.pid, self.exited_at = None, 0, None

    def commits(self) -> int:
        return sum(int(page.words[Word.COMMITS]) for page in self.pages)

    @property
    def proven(self) -> bool:
        """True: a life of this run has got something done."""
        return self.commits() > self.commits_at_start

    def progress(self) -> Progress:
        """How far this life came; to be asked before `died`."""
        if self.commits() > self.commits_at_birth:
            return Progress.COMMITTED
        waiting = (Activity.WAITING_FOR_INPUT, Activity.WAITING_FOR_OUTPUT)
        return Progress.IDLE if any(p.words[Word.ACTIVITY] in waiting for p in self.pages) else Progress.NONE

    def count_restart(self) -> None:
        for page in self.pages:
            page.words[Word.RESTARTS] += 1

    def kill(self) -> None:
        """SIGKILL, at this very process."""
        if self.pidfd is not None:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return  # it is a zombie already

    def hangs_before_its_first_row(self, now: float) -> WorkState | None:
        """What it does, where it has done nothing but wait since its birth, in user code; once in a life."""
        if self.first_row is None or self.state is not ChildState.ALIVE or now < self.first_row.due():
            return None
        if self.commits() > self.commits_at_birth:
            self.first_row = None
            return None
        seen = self.work.read()
        in_user_code = seen.reached != OPENED or seen.mark is not None
        if not self.first_row.hangs(now, wanted_s(self.pid)) or not in_user_code or self._is_held_up():
            return None
        self.first_row = None
        return seen

    def overdue(self, now_ns: int, grace_s: float) -> bool:
        """True when a row has been in work for its time-out and the grace."""
        if self.state is not ChildState.ALIVE:
            return False
        seen = self.work.read()
        limit_ns = seen.limit_ns or (self.spec.timeout_s or 0.0) * 1e9
        watched = seen.life == self.attempt and seen.mark is not None and limit_ns > 0
        return self._watchdog.overdue(
            seen.since_ns if watched else None, limit_ns + grace_s * 1e9, now_ns,
            held_up=watched and self._is_held_up(),
        )

    def _is_held_up(self) -> bool:
        """True: it cannot go on, for somebody has stopped it or does not read what it prints."""
        return is_stopped(self.pid) or is_full(self.log_fd) or is_full(self.stdout_fd)
