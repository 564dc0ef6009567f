"""The supervisor: a process of its own that keeps the workers of one run alive, and ends the run in order.

This is its loop and its way down. `lives` gives birth and follows deaths, `zygote_keeper` keeps who forks,
`worker_watch` looks at the living, `output_relay` passes on what they print; `after_death`, `restart`, `blame`,
`shutdown` and `cause_of_death` decide. When the caller is gone, workers end and the queues are left to the next run.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from itertools import chain
from pathlib import Path

from penstock.channel.bell import OnePerPath, Ringer
from penstock.errors import FileUnusable, QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.shared_file import by_calls
from penstock.slot.records.control import Control
from penstock.slot.records.life import FailureNote
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.checkpoint_keeper import CheckpointKeeper
from penstock.supervisor.child import Child
from penstock.supervisor.final_totals import final_totals
from penstock.supervisor.lives import Lives
from penstock.supervisor.notices import Notices
from penstock.supervisor.orphans import kill_descendants
from penstock.supervisor.output_relay import OutputRelay
from penstock.supervisor.ports import Machine
from penstock.supervisor.protocol import CallerFailed, Drain, Ended, RunSpec, Stop
from penstock.supervisor.shutdown import Shutdown, ShutdownStep
from penstock.supervisor.whole_files import WholeFiles
from penstock.supervisor.worker_watch import WorkerWatch
from penstock.supervisor.zygote_keeper import ZygoteKeeper
from penstock.supervisor.zygote_process import ZygoteProcess

_LONGEST_SLEEP_S = 5.0


class Supervisor:
    """One run, from the first birth to the last death."""

    def __init__(self, run_dir: Path, spec: RunSpec, caller: CallerLink, zygote: ZygoteProcess) -> None:
        """`zygote`: the first one, already started; this process is the child subreaper and holds the lifeline."""
        paths, ringers = RunPaths(run_dir), OnePerPath(Ringer)
        self._run_dir = run_dir
        self._spec = spec
        self._caller = caller
        self._selector = selectors.DefaultSelector()
        self._control = Control(paths.control, by_calls)
        machine = Machine(self._selector)
        self._children = [Child(slot, run_dir, ringers, machine) for slot in spec.slots]
        self._notices = Notices(caller, paths)
        self._shutdown = Shutdown()
        self._relay = OutputRelay([child.pipes for child in self._children], caller, self._selector)
        self._lives = Lives(
            self._children, spec, WholeFiles(run_dir, spec), machine=machine, relay=self._relay,
            notices=self._notices, shutdown=self._shutdown, fail=self._fail,
        )
        self._zygotes = ZygoteKeeper(
            zygote, zygote.another,
            selector=self._selector, notices=self._notices, shutdown=self._shutdown, heard=self._lives.hear,
            lost=self._lose_zygote, fail=self._fail,
        )
        self._checkpoints = (
            None if spec.checkpoint is None
            else CheckpointKeeper(spec, run_dir, self._selector, self._notices, self._shutdown, self._fail)
        )
        self._watch = WorkerWatch(self._children, self._notices, machine.clock)
        self._started = time.monotonic()
        self._failure: FailureNote | None = None

    # The whole run.

    def run(self) -> Ended:
        """Until every worker has ended for good; how it went."""
        self._notices.phase("starting")
        self._control.clear()
        self._watch_caller()
        self._watch_deaths()
        try:
            while not self._lives.over and self._shutdown.step is not ShutdownStep.OVER:
                self._wait()
                self._look_at_the_clock()
                self._reap()
        except (QueueDamaged, FileUnusable) as damage:
            # A file that all orders go through is damaged: there is no orderly way down.
            self._failure = self._failure or FailureNote("queues", str(damage))
            self._zygotes.close()
            kill_descendants()
        self._zygotes.close()
        if self._checkpoints is not None:
            self._checkpoints.close()
        kill_descendants()
        self._relay.drain()
        ended = self._end()
        self._notices.phase("left" if self._shutdown.abandoned else "failed" if self._failure else "ended")
        return ended

    @property
    def stopped(self) -> bool:
        """True: the caller had ordered a stop, and no stage failed."""
        return self._shutdown.ending == "stopped" and self._failure is None

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
        self._zygotes.send_some()

    def _next_in(self) -> float:
        now = time.monotonic()
        times = chain(
            self._lives.due_in(now, can_spawn=self._zygotes.ready), self._zygotes.due_in(now), self._watch.due_in(now),
            [] if self._shutdown.deadline is None else [self._shutdown.deadline - now],
            [] if self._checkpoints is None else self._checkpoints.due_in(now),
        )
        return max(min(times, default=_LONGEST_SLEEP_S), 0.0)

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        self._lives.tick(now, self._zygotes.process, ready=self._zygotes.ready)
        self._zygotes.tick(now)
        self._go_down(self._shutdown.tick(now))
        self._watch.look(now)
        if self._checkpoints is not None and self._lives.running:
            self._checkpoints.tick(now)

    def _reap(self) -> None:
        """Whatever has exited among our children: a zygote, the workers of a dead one, orphans of user code."""
        while (pid := _exited_child()) is not None:
            if self._zygotes.reap(pid) or (self._checkpoints is not None and self._checkpoints.reap(pid)):
                continue
            _, status, usage = os.wait4(pid, 0)
            self._lives.ended(pid, status, usage.ru_maxrss)

    def _lose_zygote(self) -> None:
        """Its children have come to us."""
        # In this order: births that it still owed, deaths whose status came to us, deaths whose status it took along.
        self._lives.bear_again()
        self._reap()
        self._lives.end_untold()
        if self._shutdown.leaving:
            self._lives.nobody_waits()

    # The caller.

    def _watch_caller(self) -> None:
        self._selector.register(self._caller.fd, selectors.EVENT_READ, self._hear_caller)
        self._selector.register(self._caller.pidfd, selectors.EVENT_READ, self._lose_caller)

    def _mind_the_caller(self) -> None:
        if not self._caller.gone:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._caller.unsent else 0)
            if self._selector.get_key(self._caller.fd).events != wanted:
                self._selector.modify(self._caller.fd, wanted, self._hear_caller)
        self._relay.mind_the_caller()

    def _hear_caller(self) -> None:
        for order in self._caller.orders():
            match order:
                case Drain():
                    self._go_down(self._shutdown.drain(time.monotonic(), order.timeout_s))
                case Stop():
                    self._go_down(self._shutdown.stop(time.monotonic()))
                case CallerFailed():
                    self._fail(order.note)
        if self._caller.gone:
            self._lose_caller()

    def _lose_caller(self) -> None:
        """Its program is gone: workers end, queues stay, and the next run resumes. Only a stop is a stop."""
        self._caller.lost()
        for fd in (self._caller.fd, self._caller.pidfd):
            with contextlib.suppress(KeyError):  # the process and its socket go one after the other
                self._selector.unregister(fd)
        self._go_down(self._shutdown.abandon(time.monotonic()))

    # The way down.

    def _fail(self, note: FailureNote) -> None:
        """The first failure is the run's."""
        if self._failure is None:
            self._failure = note
            self._notices.last_error(note)
            self._go_down(self._shutdown.fail(time.monotonic()))

    def _go_down(self, step: ShutdownStep | None) -> None:
        """Do what a step asks for on entering it."""
        match step:
            case ShutdownStep.DRAIN:
                self._notices.phase("draining")
                self._control.drain()
            case ShutdownStep.TERMINATE:
                self._control.stop()
                self._lives.nobody_waits()
            case ShutdownStep.KILL:
                for child in self._children:
                    child.kill()
                self._lives.nobody_waits()
            case _:
                return
        for child in self._children:
            child.bell.ring()

    def _end(self) -> Ended:
        totals = final_totals(self._run_dir, self._spec)
        ending = self._shutdown.ending
        if ending == "finished" and self._failure is None:
            self._failure = totals.damaged or totals.hopeless
        if self._failure is not None:
            ending = "failed"
        elif ending == "drained" and not totals.cut_short and not self._spec.drains_to_finish:
            ending = "finished"
        elif ending == "finished" and totals.cut_short:
            ending = "drained"  # by an earlier supervisor, whose queues this one took over
        # A run that failed before any worker, of it or of one before it, was born leaves nothing to resume from.
        untouched = totals.untouched and all(child.attempt == 0 for child in self._children)
        leaves_queues = self._shutdown.abandoned or (self._failure is not None and not untouched)
        return Ended(
            ending, time.monotonic() - self._started, list(totals.stages), totals.undelivered_rows, self._failure,
            totals.cut_short, leaves_queues,
        )


def _exited_child() -> int | None:
    """A child that waits to be reaped."""
    # Its status stays there: if it is the zygote, `subprocess` takes it.
    try:
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if info is None else info.si_pid
