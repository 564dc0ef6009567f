"""Looks at all living workers several times a second, reports what hangs, and kills whatever has had its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.slot.records.work_page import LISTENS, WorkState
from penstock.slot.time_and_chance import Clock
from penstock.supervisor.child import Child
from penstock.supervisor.close_watch import MOST_S, TOLD_AFTER_S, ClosingStep
from penstock.supervisor.first_row import AFTER_S
from penstock.supervisor.life_watch import LifeWatch
from penstock.supervisor.notices import Notices
from penstock.supervisor.worker_process import WorkerProcess

_WATCH_S = 0.25
"""Each look is a sample. Fewer of them would charge rows with time in which their worker was stopped."""
_LOOK_S = 0.1
"""A look costs some system calls for each worker, and each event of the supervisor comes by here."""
_TIMEOUT_GRACE_S = 1.0


class WorkerWatch:
    """The watch over the workers of one run."""

    def __init__(self, children: Sequence[Child], notices: Notices, clock: Clock) -> None:
        self._now_ns = clock.now_ns
        self._children = children
        self._notices = notices
        self._looked_at = 0.0
        self._has_time_outs = any(child.spec.timeout_s is not None for child in children)

    def due_in(self, now: float) -> Iterator[float]:
        """In how many seconds it wants to look again."""
        for child in self._children:
            due = child.watch.due if child.watch is not None else None
            if due is not None:
                yield max(due, self._looked_at + _LOOK_S) - now
        if self._has_time_outs or any(child.watch is not None and child.watch.closes for child in self._children):
            yield _WATCH_S

    def look(self, now: float) -> None:
        """At all of them, unless the last look was a moment ago."""
        if now < self._looked_at + _LOOK_S:
            return
        self._looked_at = now
        for child in self._children:
            if child.watch is None or child.process is None:
                continue
            seen = child.watch.hangs_before_its_first_row(now, child.process.pid, child.pages, child.pipes)
            if seen is not None:
                self._tell_of_hanging(child, seen)
            self._mind_closing(child, child.watch, child.process)
            if child.watch.overdue(
                self._now_ns(), child.process.pid, child.pages, child.pipes, timeout_s=child.spec.timeout_s,
                grace_s=_TIMEOUT_GRACE_S,
            ):
                child.process.time_out()

    def _mind_closing(self, child: Child, watch: LifeWatch, process: WorkerProcess) -> None:
        """Whatever hangs when all is done is reported, with its stack, and ended."""
        match watch.closing_step(self._now_ns(), process.pid, child.pages, child.pipes):
            case ClosingStep.TELL:
                self._notices.warn(
                    f"worker {child.spec.label} has finished all its rows, but `close` has not returned for "
                    f"{TOLD_AFTER_S:g} s; its log shows where it is. It is killed after {MOST_S:g} s"
                )
                process.show_stack()
            case ClosingStep.KILL:
                self._notices.warn(
                    f"worker {child.spec.label} is killed: `close` has not returned for {MOST_S:g} s; "
                    "no row is lost, as all of them are committed"
                )
                process.time_out()

    def _tell_of_hanging(self, child: Child, seen: WorkState) -> None:
        """Whatever hangs before its first row is reported, with its stack where it can show it."""
        where = "inside the function of its first rows" if seen.mark is not None else "before its first row, in `open`"
        if seen.reached < LISTENS:
            where = "while it is started"
        self._notices.warn(
            f"worker {child.spec.label} has done nothing but wait for {AFTER_S:g} s, {where}; "
            "its log shows where it is"
        )
        if seen.reached >= LISTENS and child.process is not None:
            child.process.show_stack()
