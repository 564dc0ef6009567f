"""Births and deaths of all workers: acts on what `after_death` decides.

The zygote gives birth. A death is seen by the worker's pidfd; its status comes from whoever reaps it: the zygote, or
this process, to which the workers of a dead zygote come.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from penstock.errors import MORE_DESCRIPTORS, FileUnusable, QueueDamaged
from penstock.slot.records.life import Exit, FailureNote
from penstock.supervisor.after_death import Fail, Fate, Finish, Gone, Respawn, Standing, WorkerEnd, after_death
from penstock.supervisor.cause_of_death import UNKNOWN_STATUS, describe, exit_code
from penstock.supervisor.child import Child, ChildState
from penstock.supervisor.death_notices import DeathNotices, retried
from penstock.supervisor.memory_kills import row_ate_the_memory
from penstock.supervisor.notices import Notices
from penstock.supervisor.output_relay import OutputRelay
from penstock.supervisor.ports import Machine, Zygote
from penstock.supervisor.protocol import Born, Died, NotBorn, RunSpec, Spawn
from penstock.supervisor.restart import Escalate, Progress, RestartPolicy
from penstock.supervisor.shutdown import Shutdown
from penstock.supervisor.whole_files import WholeFiles
from penstock.supervisor.worker_process import WorkerProcess

_TOLD_OF_DEATH_S = 10.0
"""How long a zygote may take to tell of a death that its pidfd has shown."""
_NO_BIRTH_S = 0.2


class Lives:
    """The workers of one run."""

    def __init__(
        self, children: Sequence[Child], spec: RunSpec, files: WholeFiles, *, machine: Machine, relay: OutputRelay,
        notices: Notices, shutdown: Shutdown, fail: Callable[[FailureNote], None],
    ) -> None:
        self._machine = machine
        self._now_s = machine.clock.now_s
        self._children = children
        self._spec = spec
        self._files = files
        self._relay = relay
        self._notices = notices
        self._shutdown = shutdown
        self._fail = fail
        self._policies = {slot.group: RestartPolicy(*slot.max_restarts) for slot in spec.slots}
        self._told = {c.spec.label: DeathNotices(c.spec.label, c.spec.unavailable_for_s) for c in children}
        self._memory_kills = machine.memory_kills()
        self._running = False
        """True: all have been born once, and the caller was told."""

    @property
    def running(self) -> bool:
        """True: all have been born once."""
        return self._running

    @property
    def over(self) -> bool:
        """True: every slot is through, or nobody follows."""
        return all(child.state in (ChildState.FINISHED, ChildState.GONE) for child in self._children)

    def due_in(self, now: float, *, can_spawn: bool) -> Iterator[float]:
        """In how many seconds `tick` has something to do."""
        for child in self._children:
            if child.state is ChildState.SPAWNING or (can_spawn and child.state is ChildState.WAITING):
                yield child.due - now
            if child.process is not None and child.process.exited_at is not None:
                yield child.process.exited_at + _TOLD_OF_DEATH_S - now

    def tick(self, now: float, zygote: Zygote | None, *, ready: bool) -> None:
        """Have those born whose time has come; do away with a zygote that is stuck."""
        self._memory_kills.look()
        if zygote is None:
            return
        for child in self._children:
            if ready and child.state is ChildState.WAITING and child.due <= now:
                self._spawn(child, zygote)
        if any(_owes_a_birth(child, zygote, now) or _owes_a_death(child, zygote, now) for child in self._children):
            zygote.kill()  # stopped or stuck: its workers come to us, and a new one gives birth

    def nobody_waits(self) -> None:
        """From now on nobody is born."""
        for child in self._children:
            if child.state is ChildState.WAITING:
                child.give_up()

    # Births.

    def hear(self, message: Born | NotBorn | Died, pidfd: int | None) -> None:
        """What the zygote tells, and the descriptor that came with it."""
        match message:
            case Born() if pidfd is not None:
                self._on_birth(self._child_of(message), message.pid, pidfd)
            case Born():  # the descriptor got lost: none was left here. Nobody could watch it, so it must not live
                os.kill(message.pid, signal.SIGKILL)
                self._on_no_birth(self._child_of(message), errno.EMFILE, "no descriptor")
            case NotBorn():
                self._on_no_birth(self._child_of(message), message.errno, message.reason)
            case Died():
                self.ended(message.pid, message.status, message.peak_kib)

    def bear_again(self) -> None:
        """The zygote is gone: whatever was being born is born by the next one."""
        # One that was forked all the same is a straggler: its successor kills whoever has the slot's lock.
        for child in self._children:
            if child.state is ChildState.SPAWNING:
                child.wait_until(0.0)

    def _child_of(self, message: Born | NotBorn) -> Child:
        return next(c for c in self._children if (c.spec.group, c.spec.slot) == (message.group, message.slot))

    def _spawn(self, child: Child, zygote: Zygote) -> None:
        if self._shutdown.leaving:
            child.give_up()
            return
        zygote.send(Spawn(child.spawn(zygote, self._spec)))

    def _on_birth(self, child: Child, pid: int, pidfd: int) -> None:
        child.born(pid, pidfd)
        self._machine.selector.register(pidfd, selectors.EVENT_READ, partial(self._on_exit, child))
        if self._shutdown.leaving:  # it was asked for before the run began to end
            child.kill()
        if not self._running and all(c.state in (ChildState.ALIVE, ChildState.FINISHED) for c in self._children):
            self._running = True
            self._notices.running()

    def _on_no_birth(self, child: Child, number: int, reason: str) -> None:
        """The system refused a process: without descriptors for good, else it is tried again."""
        if number in (errno.EMFILE, errno.ENFILE):
            child.give_up()
            self._fail(FailureNote("supervisor", f"no descriptor is left; {MORE_DESCRIPTORS}"))
            return
        if self._shutdown.leaving:
            child.give_up()
            return
        decision = self._policies[child.spec.group].decide(
            child.spec.slot, self._now_s(), counted=True, progress=Progress.NONE, chance=self._machine.clock.chance()
        )
        note = f"worker {child.spec.label} cannot be started: {reason}"
        if isinstance(decision, Escalate):
            child.give_up()
            remedy = "allow more processes (`ulimit -u`), or make room in memory"
            self._fail(FailureNote(child.spec.stages[0], f"{note}, repeatedly; {remedy}"))
            return
        self._notices.warn(f"{note}; trying again")
        child.wait_until(self._now_s() + max(decision.after_s, _NO_BIRTH_S))

    # Deaths.

    def _on_exit(self, child: Child) -> None:
        """Its pidfd says that it is gone; the status comes from whoever reaps it."""
        process = child.process
        if process is None:
            return  # its status came first
        try:
            info = os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            # The worker is the zygote's child: as long as the zygote lives, only it can wait for the status (trap 15).
            if child.zygote is not None and not child.zygote.closed:
                self._machine.selector.unregister(process.pidfd)  # the zygote will say
                process.exited_at = self._now_s()
            else:
                self.ended(process.pid, UNKNOWN_STATUS)
            return
        if info is not None:
            killed = info.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            self.ended(process.pid, info.si_status if killed else info.si_status << 8)

    def end_untold(self) -> None:
        """Those that had exited and that the zygote did not live to tell of."""
        for child in self._children:
            if child.process is not None and child.process.exited_at is not None:
                self.ended(child.process.pid, UNKNOWN_STATUS)

    def ended(self, pid: int, status: int, peak_kib: int = 0) -> None:
        """A process has ended, with the status that `waitpid` gives and the most memory that it had (0: unknown)."""
        child = next((c for c in self._children if c.process is not None and c.process.pid == pid), None)
        if child is None or child.process is None:
            return  # a grandchild of user code
        process = child.process
        with contextlib.suppress(KeyError):  # `_on_exit` may have done it already
            self._machine.selector.unregister(process.pidfd)
        # What it printed last comes before the notice of its death.
        self._relay.pass_on(child.pipes.log)
        orderly = child.left_with(exit_code(status))
        if orderly is None and (damage := self._files.damage()) is not None:
            # A file that somebody cut short is a SIGBUS of its worker (trap 14): blame the file, not the row.
            child.give_up()
            self._fail(FailureNote("queues", str(damage)))
            return
        end = self._end_of(child, process, orderly, status, peak_kib)
        fate = after_death(end, self._standing(child), now=self._now_s(), chance=self._machine.clock.chance())
        self._act(child, end, fate)

    def _end_of(
        self, child: Child, process: WorkerProcess, orderly: Exit | None, status: int, peak_kib: int
    ) -> WorkerEnd:
        """All that is known of it; then its process is let go, and its neighbours are rung."""
        # Read before `died`: that lets go of the process, and of what its pages say about it.
        seen, now_ns = child.pages.in_work(), self._machine.clock.now_ns()
        lived_s, progress = self._now_s() - process.born_at, child.pages.progress()
        # The neighbours are rung here, before any delay: it may have died between publishing and ringing (trap 6).
        child.died()
        out_of_memory = orderly is None and self._memory_kills.happened() and row_ate_the_memory(seen, peak_kib)
        return WorkerEnd(
            status, orderly, self._note_of(child, status, orderly), seen, progress, child.attempt, lived_s,
            in_call_s=max(now_ns - seen.since_ns, 0) / 1e9, timed_out=process.timed_out, out_of_memory=out_of_memory,
        )

    def _note_of(self, child: Child, status: int, orderly: Exit | None) -> FailureNote:
        """Why it ended: its own note where it leaves one."""
        stage = child.spec.stages[0]
        if orderly not in (Exit.FAILED, Exit.TROUBLE, Exit.UNAVAILABLE):
            return FailureNote(stage, f"worker {child.spec.label} died ({describe(status)})")
        try:
            note = self._machine.failure(child.paths.failure)
        except (QueueDamaged, FileUnusable) as exc:
            return FailureNote(stage, f"{describe(status)}; its note cannot be read: {exc}")
        if note.attempt == child.attempt:
            return note
        return FailureNote(stage, f"{describe(status)}; it could not leave a note with the reason")

    def _standing(self, child: Child) -> Standing:
        return Standing(
            child.spec.slot, child.guidance, child.blame, self._policies[child.spec.group],
            child.spec.unavailable_for_s, leaving=self._shutdown.leaving,
            proven=any(c.pages.proven for c in self._children if c.spec.group == child.spec.group),
        )

    def _act(self, child: Child, end: WorkerEnd, fate: Fate) -> None:
        match fate:
            case Finish():
                child.finish()
            case Gone():
                child.give_up()
            case Fail():
                if fate.counted:
                    child.pages.count_restart()
                self._tell_of_blame(child, fate)
                child.give_up()
                self._fail(fate.note)
            case Respawn():
                self._tell_of_blame(child, fate)
                child.guidance = fate.guidance
                child.wait_until(self._now_s() + fate.after_s)
                if fate.wait is None:
                    child.pages.count_restart()
                self._tell_of_death(child, end, fate)

    def _tell_of_blame(self, child: Child, fate: Fail | Respawn) -> None:
        if fate.blamed is not None:
            self._notices.warn(f"{child.spec.label}: {fate.blamed.reason}; it is set aside")

    def _tell_of_death(self, child: Child, end: WorkerEnd, fate: Respawn) -> None:
        told, now, note = self._told[child.spec.label], self._now_s(), end.note
        if fate.wait is not None:
            words = told.waits(note, fate.wait, now)
            note = FailureNote(note.stage, retried(note, fate.wait))
        elif end.orderly is Exit.CAREFUL:
            return  # that is how it is done
        else:
            words = told.died(note, end.orderly, child.attempt, now)
        if words is not None:
            self._notices.last_error(note)
            self._notices.warn(words)


def _owes_a_birth(child: Child, zygote: Zygote, now: float) -> bool:
    """True: its zygote has had time enough to give birth to it."""
    return child.state is ChildState.SPAWNING and child.zygote is zygote and now > child.due


def _owes_a_death(child: Child, zygote: Zygote, now: float) -> bool:
    """True: its zygote has had time enough to tell of its death."""
    exited_at = child.process.exited_at if child.process is not None else None
    return exited_at is not None and child.zygote is zygote and now > exited_at + _TOLD_OF_DEATH_S
