"""The supervisor: a process of its own that keeps the workers of one run alive, and ends the run in order.

The pure parts decide (`restart`, `blame`, `outcome`); this shell acts: it asks the zygote for workers, sees them die
by their pidfds, rings their neighbours, passes on what they print, and obeys the caller. When the caller is gone, it
ends the workers and leaves the queues to the next run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import selectors
import signal
import time
from functools import partial
from pathlib import Path

from penstock.channel.bell import Ringers
from penstock.errors import MORE_DESCRIPTORS, FileUnusable, QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.private_files import replace_own
from penstock.shared_file import by_calls
from penstock.slot.control import Control
from penstock.slot.failure_file import read_failure
from penstock.slot.last_error import write_last_error
from penstock.slot.life import Exit, FailureNote
from penstock.slot.work import LISTENS
from penstock.supervisor import protocol
from penstock.supervisor.blame import Cause, Death
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.child import Child, ChildState
from penstock.supervisor.final_totals import final_totals
from penstock.supervisor.first_row import AFTER_S
from penstock.supervisor.ladder import Ladder, Rung
from penstock.supervisor.memory_kills import MemoryKills, row_ate_the_memory
from penstock.supervisor.orphans import kill_descendants
from penstock.supervisor.outcome import UNKNOWN_STATUS, cause_of, describe, exit_code
from penstock.supervisor.protocol import (
    IMPORT_S,
    Born,
    CallerFailed,
    Died,
    Drain,
    Ended,
    ImportFailed,
    NotBorn,
    Notice,
    Output,
    Ready,
    Running,
    RunSpec,
    Spawn,
    Stop,
)
from penstock.supervisor.restart import Escalate, Progress, RestartPolicy
from penstock.supervisor.whole_files import WholeFiles
from penstock.supervisor.whole_lines import WholeLines
from penstock.supervisor.zygote_process import ZygoteProcess

_WATCH_S = 0.25
_LOOK_S = 0.1
_TIMEOUT_GRACE_S = 1.0
_TELL_S = 1.0
_WAITING_TOLD_S = 10.0
_BIRTH_S = 60.0
"""So long a zygote may take to give birth, with many others to be born at the same time."""
_ZYGOTE_S = 10.0
"""So long a zygote may take to tell of a death that its pidfd has shown."""
_MOST_BLAMED = 500
"""Blamed rows are committed one by one as they are met: only the last ones can still come up."""


class Supervisor:
    """One run, from the first birth to the last death."""

    def __init__(self, run_dir: Path, spec: RunSpec, caller: CallerLink, zygote: ZygoteProcess) -> None:
        """`zygote`: the first one, already started; this process is the child subreaper and holds the lifeline."""
        self._paths = RunPaths(run_dir)
        self._spec = spec
        self._caller = caller
        self._selector = selectors.DefaultSelector()
        self._control = Control(self._paths.control, by_calls)
        ringers = Ringers()
        self._children = [Child(seat, run_dir, ringers) for seat in spec.seats]
        self._policies = {
            seat.seat: RestartPolicy(*seat.max_restarts) for seat in spec.seats
        }
        self._files = WholeFiles(run_dir, spec)
        self._memory_kills = MemoryKills()
        self._zygote: ZygoteProcess | None = zygote
        self._zygote_ready = False
        self._zygotes = RestartPolicy(10, 60.0)
        self._zygote_due = 0.0
        self._looked_at = 0.0
        self._killed_import_told_at = -_WAITING_TOLD_S
        self._slow_import_told = False
        self._exec_told = False
        self._output_waits = False
        """True: what workers print stays in their pipes, for the caller is behind."""
        self._started = time.monotonic()
        self._running = False
        self._untouched = False
        """True: it ended before any worker, of this run or of one before it, was born."""
        self._failure: FailureNote | None = None
        self._ladder = Ladder()

    # The whole run.

    def run(self) -> Ended:
        """Until every worker has ended for good; how it went."""
        self._phase("starting")
        self._control.clear()
        self._watch_everything()
        self._watch_deaths()
        self._watch_zygote()
        try:
            while not self._over():
                self._wait()
                self._watch_the_clock()
                self._reap()
        except (QueueDamaged, FileUnusable) as damage:
            # A file that all orders go through is damaged: there is no orderly way down.
            self._failure = self._failure or FailureNote("queues", str(damage))
            self._close_zygote()
            kill_descendants()
        self._close_zygote()
        kill_descendants()
        self._drain_output()
        ended = self._end()
        self._phase("left" if self._ladder.abandoned else "failed" if self._failure else "ended")
        return ended

    @property
    def stopped(self) -> bool:
        """True: the caller had ordered a stop, and no stage failed."""
        return self._ladder.ending == "stopped" and self._failure is None

    def _over(self) -> bool:
        if self._ladder.rung is Rung.OVER:
            return True
        return all(child.state in (ChildState.FINISHED, ChildState.GONE) for child in self._children)

    def _watch_everything(self) -> None:
        self._selector.register(self._caller.fd, selectors.EVENT_READ, self._hear_caller)
        self._selector.register(self._caller.pidfd, selectors.EVENT_READ, self._lose_caller)
        for child in self._children:
            self._watch_output(child)

    def _watch_output(self, child: Child) -> None:
        self._selector.register(child.log_fd, selectors.EVENT_READ, partial(self._pass_on_log, child))
        self._selector.register(child.stdout_fd, selectors.EVENT_READ, partial(self._pass_on_stdout, child))

    def _mind_the_caller(self) -> None:
        """While it does not read, what workers print is not looked at, or each look would end at once."""
        if not self._caller.gone:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._caller.unsent else 0)
            if self._selector.get_key(self._caller.fd).events != wanted:
                self._selector.modify(self._caller.fd, wanted, self._hear_caller)
        if self._caller.behind != self._output_waits:
            self._output_waits = self._caller.behind
            for child in self._children:
                if self._output_waits:
                    self._selector.unregister(child.log_fd)
                    self._selector.unregister(child.stdout_fd)
                else:
                    self._watch_output(child)

    def _watch_deaths(self) -> None:
        """Wake when a child exits: orphans of user code come to us, and nobody else reaps them."""
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._selector.register(woken, selectors.EVENT_READ, lambda: os.read(woken, 4096))

    def _wait(self) -> None:
        self._mind_the_caller()
        for key, _ in self._selector.select(self._next_in()):
            # What one event told may have made another one of the same round stale.
            if self._selector.get_map().get(key.fd) is key:
                key.data()
        self._caller.send_some()
        if self._zygote is not None:
            self._zygote.send_some()

    def _next_in(self) -> float:
        now = time.monotonic()
        waiting = [c for c in self._children if c.state is ChildState.WAITING and self._zygote_ready]
        times = [child.due - now for child in waiting]
        if self._ladder.deadline is not None:
            times.append(self._ladder.deadline - now)
        times += [child.exited_at + _ZYGOTE_S - now for child in self._children if child.exited_at is not None]
        if self._zygote is None and not self._ladder.leaving:
            times.append(self._zygote_due - now)
        if self._zygote is not None and not self._zygote_ready and not self._slow_import_told:
            times.append(self._zygote.started + IMPORT_S + 1.1 - now)
        times += [child.due - now for child in self._children if child.state is ChildState.SPAWNING]
        next_look = self._looked_at + _LOOK_S
        times += [max(c.first_row.due(), next_look) - now for c in self._children if c.first_row is not None]
        if any(child.spec.timeout_s is not None for child in self._children):
            times.append(_WATCH_S)
        return max(min(times, default=5.0), 0.0)

    def _watch_the_clock(self) -> None:
        now = time.monotonic()
        if self._zygote_ready:
            for child in self._children:
                if child.state is ChildState.WAITING and child.due <= now:
                    self._spawn(child)
        self._mind_the_zygote(now)
        self._memory_kills.look()
        self._go_down(self._ladder.tick(now))
        if self._zygote is not None and any(self._untold(c, now) or self._unborn(c, now) for c in self._children):
            self._zygote.kill()  # stopped or stuck: its workers come to us, and a new one gives birth
        if now < self._looked_at + _LOOK_S:
            return  # a look costs some system calls for each worker, and each event comes by here
        self._looked_at = now
        for child in self._children:
            self._tell_of_hanging(child, now)
            if child.overdue(time.monotonic_ns(), _TIMEOUT_GRACE_S):
                child.timed_out = True
                child.kill()

    def _tell_of_hanging(self, child: Child, now: float) -> None:
        """Whatever hangs before its first row is told of, with its stack where it can show it."""
        seen = child.hangs_before_its_first_row(now)
        if seen is None:
            return
        where = "inside the function of its first rows" if seen.mark is not None else "before its first row, in `open`"
        if seen.reached < LISTENS:
            where = "while it is started"
        self._caller.say(Notice(
            "WARNING", f"worker {child.spec.label} has done nothing but wait for {AFTER_S:g} s, {where}; "
            "its log shows where it stands"
        ))
        if seen.reached >= LISTENS:
            child.show_stack()

    def _unborn(self, child: Child, now: float) -> bool:
        """True: its zygote has had time enough to give birth to it."""
        return child.state is ChildState.SPAWNING and child.zygote is self._zygote and now > child.due

    def _untold(self, child: Child, now: float) -> bool:
        """True: its zygote has had time enough to tell of its death."""
        return child.exited_at is not None and child.zygote is self._zygote and now > child.exited_at + _ZYGOTE_S

    # The zygote.

    def _mind_the_zygote(self, now: float) -> None:
        """Start the next one when it is time; tell of one that takes long to import the program."""
        if self._zygote is None:
            if not self._ladder.leaving and now >= self._zygote_due:
                self._start_zygote()
            return
        if self._selector.get_key(self._zygote.socket).events != self._zygote.events:
            self._selector.modify(self._zygote.socket, self._zygote.events, self._hear_zygote)
        if not self._zygote_ready and not self._slow_import_told and now > self._zygote.started + IMPORT_S + 1:
            self._slow_import_told = True
            said = self._zygote.said()
            self._caller.say(Notice(
                "WARNING", f"the program is still being imported for the workers, after {IMPORT_S:g} s"
                + (f"; it stands here:\n{said}" if said else "")
            ))

    def _start_zygote(self) -> None:
        self._zygote_ready = False
        self._zygote = ZygoteProcess(self._paths.root, self._spec)
        self._watch_zygote()

    def _watch_zygote(self) -> None:
        assert self._zygote is not None
        self._selector.register(self._zygote.socket, selectors.EVENT_READ, self._hear_zygote)

    def _hear_zygote(self) -> None:
        zygote = self._zygote
        assert zygote is not None
        try:
            while (heard := zygote.receive()) is not None:
                message, pidfd = heard
                match message:
                    case Ready():
                        self._zygote_ready = True
                        self._pass_on_import(zygote)
                        if message.by_exec and not self._exec_told:
                            self._exec_told = True
                            self._caller.say(Notice("WARNING", message.by_exec))
                    case ImportFailed():
                        self._fail(FailureNote("program", message.reason, message.traceback))
                    case Born() if pidfd is not None:
                        self._child_of(message.seat, message.slot).born(message.pid, pidfd)
                        self._watch_birth(self._child_of(message.seat, message.slot))
                    case Born():  # the descriptor got lost: there was none left for it here
                        os.kill(message.pid, signal.SIGKILL)
                        self._on_no_birth(self._child_of(message.seat, message.slot), errno.EMFILE, "no descriptor")
                    case NotBorn():
                        self._on_no_birth(
                            self._child_of(message.seat, message.slot), message.errno, message.reason
                        )
                    case Died():
                        self._on_status(message.pid, message.status, message.peak_kib)
        except EOFError:
            self._on_zygote_death()

    def _on_zygote_death(self) -> None:
        """Its children have come to us; whatever was being born is born again."""
        assert self._zygote is not None
        self._selector.unregister(self._zygote.socket)
        status = self._zygote.close()
        said, imported = self._zygote.said(), self._zygote_ready
        self._zygote.forget()
        self._zygote = None
        self._zygote_ready = False
        for child in self._children:
            if child.state is ChildState.SPAWNING:
                child.state, child.due = ChildState.WAITING, 0.0
        self._reap()
        self._reap_adopted()
        if self._ladder.leaving:
            for child in self._children:
                if child.state is ChildState.WAITING:
                    child.state = ChildState.GONE
            return
        self._follow_zygote(status, said, imported)

    def _follow_zygote(self, status: int, said: str, imported: bool) -> None:
        """Decide about the next one. What dies twice in the same way while it imports will do so again."""
        how = describe(-status if status < 0 else status << 8)
        killed, now = status == -signal.SIGKILL, time.monotonic()
        # SIGKILL is nobody's signature: it is told, and tried again as often as it takes.
        decision = self._zygotes.decide(
            0, now, counted=not killed, progress=Progress.NONE, chance=random.random(), same="" if imported else how,
        )
        if killed and not imported and now > self._killed_import_told_at + _WAITING_TOLD_S:
            self._killed_import_told_at = now
            self._caller.say(Notice(
                "WARNING", "the process that imports the program for the workers was killed meanwhile; it is started "
                "again (has the machine memory enough?)"
            ))
        if isinstance(decision, Escalate):
            shown = f"; it said:\n{said}" if said else ""
            when = "while importing it" if not imported else "later"
            self._fail(FailureNote(
                "program", f"the process that imports the program for the workers ended again and again, {when} "
                f"({how}){shown}"
            ))
            return
        self._zygote_due = now + decision.after_s

    def _pass_on_import(self, zygote: ZygoteProcess) -> None:
        """What the program writes to standard error when imported, but for its output the caller has seen it all."""
        said = zygote.said()
        if said:
            self._caller.say(Output("import", f"{said}\n".encode()))

    def _on_no_birth(self, child: Child, number: int, reason: str) -> None:
        """The system refused a process: without descriptors for good, else it is tried again."""
        if number in (errno.EMFILE, errno.ENFILE):
            child.state = ChildState.GONE
            self._fail(FailureNote("supervisor", f"no descriptor is left; {MORE_DESCRIPTORS}"))
            return
        if self._ladder.leaving:
            child.state = ChildState.GONE
            return
        decision = self._policies[child.spec.seat].decide(
            child.spec.slot, time.monotonic(), counted=True, progress=Progress.NONE, chance=random.random()
        )
        note = f"worker {child.spec.label} cannot be started: {reason}"
        if isinstance(decision, Escalate):
            child.state = ChildState.GONE
            remedy = "allow more processes (`ulimit -u`), or make room in memory"
            self._fail(FailureNote(child.spec.stages[0], f"{note}, again and again; {remedy}"))
            return
        self._caller.say(Notice("WARNING", f"{note}; it is tried again"))
        child.state, child.due = ChildState.WAITING, time.monotonic() + max(decision.after_s, 0.2)

    def _close_zygote(self) -> None:
        if self._zygote is not None:
            self._zygote.close()
            self._zygote.forget()
            self._zygote = None

    # Births and deaths.

    def _child_of(self, seat: str, slot: int) -> Child:
        return next(c for c in self._children if c.spec.seat == seat and c.spec.slot == slot)

    def _spawn(self, child: Child) -> None:
        assert self._zygote is not None
        if self._ladder.leaving:
            child.state = ChildState.GONE
            return
        child.state, child.zygote = ChildState.SPAWNING, self._zygote
        child.due = time.monotonic() + _BIRTH_S
        self._zygote.send(Spawn(child.life(self._spec.run_id, self._spec.dead_letters, self._spec.log_level)))

    def _watch_birth(self, child: Child) -> None:
        assert child.pidfd is not None
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._on_exit(child))
        if self._ladder.leaving:
            child.kill()
        if not self._running and all(c.state in (ChildState.ALIVE, ChildState.FINISHED) for c in self._children):
            self._running = True
            self._phase("running")
            self._caller.say(Running())

    def _on_exit(self, child: Child) -> None:
        """Its pidfd says that it is gone; the status comes from whoever reaps it."""
        if child.pidfd is None:
            return  # its status came first
        try:
            info = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            if self._zygote is not None and child.zygote is self._zygote:
                self._selector.unregister(child.pidfd)  # the zygote will say
                child.exited_at = time.monotonic()
            else:
                self._on_status(child.pid, UNKNOWN_STATUS)
            return
        if info is not None:
            killed = info.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            self._on_status(child.pid, info.si_status if killed else info.si_status << 8)

    def _reap_adopted(self) -> None:
        """Those that had exited and that the zygote did not live to tell of."""
        watched = {key.fd for key in self._selector.get_map().values()}
        for child in self._children:
            if child.state is ChildState.ALIVE and child.pidfd not in watched:
                self._on_status(child.pid, UNKNOWN_STATUS)

    def _reap(self) -> None:
        """Whatever has exited among our children: a zygote, the workers of a dead one, orphans of user code."""
        while (pid := _exited_child()) is not None:
            if self._zygote is not None and pid == self._zygote.pid:
                self._zygote.reap()
                continue
            _, status, usage = os.wait4(pid, 0)
            self._on_status(pid, status, usage.ru_maxrss)

    def _on_status(self, pid: int, status: int, peak_kib: int = 0) -> None:
        child = next((c for c in self._children if c.pid == pid and c.state is ChildState.ALIVE), None)
        if child is None:
            return  # a grandchild of user code
        if child.pidfd is not None:
            with contextlib.suppress(KeyError):  # `_on_exit` may have done it already
                self._selector.unregister(child.pidfd)
        self._pass_on_log(child)
        orderly = child.left_with(exit_code(status))
        if orderly is None and not self._files_are_whole():
            child.gone()
            return
        seen, now_ns = child.work.read(), time.monotonic_ns()
        lived_s = time.monotonic() - child.born_at
        progress = child.progress()
        child.died()
        if orderly is Exit.FINISHED:
            child.state = ChildState.FINISHED
            return
        if orderly is Exit.FAILED:
            child.state = ChildState.GONE
            self._fail(self._note_of(child, status, orderly))
            return
        if self._ladder.leaving:
            child.state = ChildState.GONE
            return
        if orderly is Exit.UNAVAILABLE:
            self._wait_for_what_is_down(child, self._note_of(child, status, orderly), progress, lived_s)
            return
        counted = True
        if orderly is Exit.CAREFUL:
            child.careful, counted = (seen.mark.count if seen.mark else 1), False
        elif orderly is None:
            out_of_memory = self._memory_kills.happened() and row_ate_the_memory(seen, peak_kib)
            cause = cause_of(status, timed_out=child.timed_out, out_of_memory=out_of_memory, sent=seen.sent)
            in_call_s = max(now_ns - seen.since_ns, 0) / 1e9
            verdict = child.blame.on_death(
                Death(cause, seen.mark, in_call_s, lived_s, describe(status), child.attempt, seen.doing)
            )
            child.suspect, child.careful = verdict.suspect, verdict.careful
            child.ungathered = verdict.ungathered
            if verdict.blamed is not None:
                child.blamed = (*child.blamed[-_MOST_BLAMED:], verdict.blamed)
            counted = verdict.counted and cause is not Cause.OURS
        self._tell_of_blame(child)
        note = self._note_of(child, status, orderly)
        # SIGKILL may be anybody's; who dies otherwise before its first row does so in `open` or in a reader.
        by_itself = orderly is None and seen.mark is None and cause_of(
            status, timed_out=child.timed_out, out_of_memory=False
        ) is Cause.OWN_DOING
        same = describe(status) if by_itself else note.same
        self._follow(child, note, counted=counted, progress=progress, same=same)
        if child.state is ChildState.WAITING and orderly is not Exit.CAREFUL:
            self._tell_of_death(child, note, orderly)

    def _wait_for_what_is_down(self, child: Child, note: FailureNote, progress: Progress, lived_s: float) -> None:
        decision = self._policies[child.spec.seat].unavailable(
            child.spec.slot, progress=progress, lived_s=lived_s, retry_after_s=note.retry_after_s,
            limit_s=child.spec.unavailable_for_s, chance=random.random(),
        )
        if isinstance(decision, Escalate):
            child.state = ChildState.GONE
            self._fail(FailureNote(note.stage, f"{decision.reason}; the last time: {note.reason}", error=note.error))
            return
        now = time.monotonic()
        child.state, child.due = ChildState.WAITING, now + decision.after_s
        if decision.times > 1 and now < child.told_at + _WAITING_TOLD_S:
            return
        child.told_at = now
        told = f"{note.reason}; it is tried again in {decision.after_s:.1f} s"
        self._note_last_error(FailureNote(note.stage, told))
        since = f", after {decision.waited_s - decision.after_s:.0f} s" if decision.times > 1 else ""
        self._caller.say(Notice(
            "WARNING", f"worker {child.spec.label} waits for what is unavailable{since}: {told} "
            f"(`unavailable_for`: {child.spec.unavailable_for_s:g} s at most)"
        ))

    def _tell_of_death(self, child: Child, note: FailureNote, orderly: Exit | None) -> None:
        """Nothing dies silently; a slot that dies all the time is told of once a second."""
        child.deaths_untold += 1
        if time.monotonic() < child.told_at + _TELL_S:
            return
        more = f" ({child.deaths_untold} deaths since the last word)" if child.deaths_untold > 1 else ""
        child.told_at, child.deaths_untold = time.monotonic(), 0
        self._note_last_error(note)
        what = f"worker {child.spec.label}: {note.reason}" if orderly is Exit.TROUBLE else note.reason
        self._caller.say(Notice("WARNING", f"{what}{more}; life {child.attempt + 1} follows"))

    def _tell_of_blame(self, child: Child) -> None:
        if child.blamed and child.blamed[-1] is not child.blame_told:
            child.blame_told = child.blamed[-1]
            self._caller.say(Notice("WARNING", f"{child.spec.label}: {child.blame_told.reason}; it is set aside"))

    def _note_last_error(self, note: FailureNote) -> None:
        unwritten = write_last_error(self._paths.last_errors, note.stage, note.reason)
        if unwritten is not None:
            self._caller.say(Notice("WARNING", f"the last error is not shown by `penstock status`: {unwritten}"))

    def _follow(self, child: Child, note: FailureNote, *, counted: bool, progress: Progress, same: str) -> None:
        """Decide about the successor."""
        child.count_restart()
        decision = self._policies[child.spec.seat].decide(
            child.spec.slot, time.monotonic(), counted=counted, progress=progress, chance=random.random(),
            same=same,
            proven=any(c.proven for c in self._children if c.spec.seat == child.spec.seat),
        )
        if isinstance(decision, Escalate):
            child.state = ChildState.GONE
            told = f"{decision.reason}; the last time: {note.reason}"
            self._fail(FailureNote(note.stage, told, note.traceback, error=note.error))
            return
        child.state, child.due = ChildState.WAITING, time.monotonic() + decision.after_s

    def _note_of(self, child: Child, status: int, orderly: Exit | None) -> FailureNote:
        if orderly in (Exit.FAILED, Exit.TROUBLE, Exit.UNAVAILABLE):
            try:
                note = read_failure(child.paths.failure)
            except (QueueDamaged, FileUnusable) as exc:
                return FailureNote(child.spec.stages[0], f"{describe(status)}; its note cannot be read: {exc}")
            if note.attempt == child.attempt:
                return note
            return FailureNote(child.spec.stages[0], f"{describe(status)}; it could not leave a note of the reason")
        return FailureNote(child.spec.stages[0], f"worker {child.spec.label} ended by {describe(status)}")

    def _files_are_whole(self) -> bool:
        """A file that somebody cut short is a SIGBUS of its worker: blame the file, not the row."""
        damage = self._files.damage()
        if damage is not None:
            self._fail(FailureNote("queues", str(damage)))
        return damage is None

    # The way down.

    def _fail(self, note: FailureNote) -> None:
        if self._failure is None:
            self._failure = note
            self._note_last_error(note)
            self._go_down(self._ladder.fail(time.monotonic()))

    def _go_down(self, rung: Rung | None) -> None:
        """Do what a rung asks for on entering it."""
        match rung:
            case Rung.DRAIN:
                self._phase("draining")
                self._control.drain()
            case Rung.TERMINATE:
                self._control.stop()
                for child in self._children:
                    if child.state is ChildState.WAITING:
                        child.state = ChildState.GONE
            case Rung.KILL:
                for child in self._children:
                    child.kill()
                    if child.state is ChildState.WAITING:
                        child.state = ChildState.GONE
            case _:
                return
        self._ring_all()

    def _ring_all(self) -> None:
        for child in self._children:
            child.bell.ring()

    # What the caller is told.

    def _hear_caller(self) -> None:
        for order in self._caller.orders():
            match order:
                case Drain():
                    self._go_down(self._ladder.drain(time.monotonic(), order.timeout_s))
                case Stop():
                    self._go_down(self._ladder.stop(time.monotonic()))
                case CallerFailed():
                    self._fail(order.note)
        if self._caller.gone:
            self._lose_caller()

    def _lose_caller(self) -> None:
        """Its program is gone: workers end, queues stay, and the next run goes on. Only a stop is a stop."""
        self._caller.lost()
        for fd in (self._caller.fd, self._caller.pidfd):
            with contextlib.suppress(KeyError):  # the process and its socket go one after the other
                self._selector.unregister(fd)
        self._go_down(self._ladder.abandon(time.monotonic()))

    def _pass_on_log(self, child: Child, *, all_of_it: bool = False) -> None:
        self._pass_on(child.log_fd, child.spec.label, child.said, all_of_it)

    def _pass_on_stdout(self, child: Child, *, all_of_it: bool = False) -> None:
        self._pass_on(child.stdout_fd, "", child.printed, all_of_it)

    def _pass_on(self, fd: int, label: str, text: WholeLines, all_of_it: bool) -> None:
        while all_of_it or not self._caller.behind:
            try:
                data = os.read(fd, protocol.OUTPUT_BYTES)
            except BlockingIOError:
                return
            lines = text.add(data)
            if lines:
                self._caller.say(Output(label, lines))

    def _drain_output(self) -> None:
        """What the workers printed last: no more than their pipes hold, so even a caller that is behind gets it."""
        for child in self._children:
            self._pass_on_log(child, all_of_it=True)
            self._pass_on_stdout(child, all_of_it=True)
            for label, text in ((child.spec.label, child.said), ("", child.printed)):
                if rest := text.last():
                    self._caller.say(Output(label, rest))

    def _end(self) -> Ended:
        totals = final_totals(self._paths.root, self._spec)
        self._untouched = totals.untouched and all(child.attempt == 0 for child in self._children)
        ending = self._ladder.ending
        if ending == "finished" and self._failure is None:
            self._failure = totals.damaged or totals.hopeless
        if self._failure is not None:
            ending = "failed"
        elif ending == "drained" and not totals.cut_short and not self._spec.drains_to_finish:
            ending = "finished"
        elif ending == "finished" and totals.cut_short:
            ending = "drained"  # by an earlier supervisor, whose queues this one took over
        return Ended(
            ending, time.monotonic() - self._started, list(totals.stages), totals.undelivered_rows,
            self._failure, totals.cut_short, self._leaves_queues(),
        )

    def _leaves_queues(self) -> bool:
        """True: the run failed or was left alone, and what stands in the queues shall stay."""
        return self._ladder.abandoned or (self._failure is not None and not self._untouched)

    def _phase(self, phase: str) -> None:
        try:
            replace_own(self._paths.phase, phase.encode())
        except OSError as exc:  # a full disk: it is for those who look, and the next run looks at the journals, too
            self._caller.say(Notice("WARNING", f"{self._paths.phase}: {phase!r} cannot be noted: {exc.strerror}"))


def _exited_child() -> int | None:
    """A child that waits to be reaped."""
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if info is None else info.si_pid
