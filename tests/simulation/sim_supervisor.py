"""The supervisor of a simulated run: the real births, deaths and decisions, over processes that are steps of ours.

Its own loop (`supervisor/supervisor.py`) is not here: it is made of sockets and signals. This one does as that does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sim_machine import RUN, Machine
from sim_memory import SimulatedRinger
from sim_schedule import Process

from penstock.channel.bell import OnePerPath
from penstock.errors import QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.slot.records.control import Control
from penstock.slot.records.life import FailureNote, Life
from penstock.supervisor import ports
from penstock.supervisor.child import Child
from penstock.supervisor.final_totals import FinalTotals, final_totals
from penstock.supervisor.lives import Lives
from penstock.supervisor.protocol import Born, Died, RunSpec, Spawn
from penstock.supervisor.shutdown import Shutdown, ShutdownStep
from penstock.supervisor.worker_watch import WorkerWatch

_LONGEST_SLEEP_S = 5.0


class Supervisor:
    """From the first birth to the last death of one run. `main` is the body of its process."""

    def __init__(self, machine: Machine, spec: RunSpec, give_birth: Callable[[Life], Process]) -> None:
        """`give_birth`: starts the process of a life."""
        self._machine = machine
        self._spec = spec
        self._give_birth = give_birth
        self._news: deque[Born | Died] = deque()
        self._orders: deque[str] = deque()
        self.process: Process | None = None
        self.workers: dict[int, Process] = {}
        """Those that live, by pid."""
        self.shutdown = Shutdown()
        self.failure: FailureNote | None = None
        self.totals: FinalTotals | None = None
        """Set once it is over."""
        self.ended = False
        self.warnings: list[str] = []
        self.closed = False  # as a zygote

    # What others do.

    def order(self, what: str) -> None:
        """`drain` or `stop`, from the caller."""
        self._orders.append(what)
        self._machine.schedule.ring(self.process)

    def send(self, order: Spawn) -> None:
        """The zygote forks."""
        machine, life = self._machine, order.life
        machine.schedule.point()
        process = self._give_birth(life)
        machine.pid += 1
        pid = process.pid = machine.pid
        self.workers[pid] = process
        self._news.append(Born(life.group, life.slot, life.attempt, pid))

        def ended(status: int) -> None:
            self.workers.pop(pid, None)
            self._news.append(Died(pid, status))
            machine.schedule.ring(self.process)

        process.ended = ended

    def kill(self) -> None:
        raise AssertionError("nothing keeps a simulated zygote from telling")

    # Its process.

    def main(self) -> None:
        """Until every worker has ended for good."""
        machine = self._machine
        ringers: Any = OnePerPath(lambda path: SimulatedRinger(path, machine.bells))
        selector: Any = SimpleNamespace(register=_nothing, unregister=_nothing)
        pipes: Any = SimpleNamespace(log=None, full=False)
        memory_kills: Any = SimpleNamespace(look=_nothing, happened=lambda: False)
        world = ports.Machine(
            selector, machine.clock, machine.opening, self._worker, lambda paths, label: pipes, self._note,
            lambda: memory_kills,
        )
        self._control = Control(RunPaths(RUN).control, machine.opening)
        self._children = [Child(slot, RUN, ringers, world) for slot in self._spec.slots]
        notices: Any = SimpleNamespace(warn=self.warnings.append, running=_nothing, last_error=_nothing)
        self.lives = Lives(
            self._children, self._spec, SimpleNamespace(damage=_nothing), machine=world,
            relay=SimpleNamespace(pass_on=_nothing), notices=notices, shutdown=self.shutdown, fail=self._fail,
        )
        self._watch = WorkerWatch(self._children, notices, machine.clock)
        self._control.clear()
        while not self.lives.over and self.shutdown.step is not ShutdownStep.OVER:
            self._wait()
            now = machine.clock.now_s()
            self.lives.tick(now, self, ready=True)
            self._go_down(self.shutdown.tick(now))
            self._watch.look(now)
        self.totals = final_totals(RUN, self._spec, machine.opening)
        self.ended = True

    def _wait(self) -> None:
        now = self._machine.clock.now_s()
        times = [*self.lives.due_in(now, can_spawn=True), *self._watch.due_in(now)]
        if self.shutdown.deadline is not None:
            times.append(self.shutdown.deadline - now)
        if not self._news and not self._orders:
            self._machine.schedule.wait(max(min(times, default=_LONGEST_SLEEP_S), 0.0), ringable=True)
        while self._news:
            news = self._news.popleft()
            self.lives.hear(news, news.pid if isinstance(news, Born) else None)
        while self._orders:
            order, now = self._orders.popleft(), self._machine.clock.now_s()
            self._go_down(self.shutdown.drain(now, None) if order == "drain" else self.shutdown.stop(now))

    def _worker(self, pid: int, pidfd: int, born_at: float) -> Any:
        def kill() -> None:
            process = self.workers.get(pid)
            if process is not None:
                self._machine.schedule.at(self._machine.schedule.now, lambda: self._machine.schedule.kill(process))

        def time_out() -> None:
            worker.timed_out = True
            kill()

        worker = SimpleNamespace(
            pid=pid, pidfd=pidfd, born_at=born_at, exited_at=None, timed_out=False, kill=kill, time_out=time_out,
            show_stack=_nothing, close=_nothing,
        )
        return worker

    def _note(self, path: Path) -> FailureNote:
        note = self._machine.notes.get(path)
        if note is None:
            raise QueueDamaged(path, "there is no note")
        return note

    def _fail(self, note: FailureNote) -> None:
        if self.failure is None:
            self.failure = note
            self._go_down(self.shutdown.fail(self._machine.clock.now_s()))

    def _go_down(self, step: ShutdownStep | None) -> None:
        match step:
            case ShutdownStep.DRAIN:
                self._machine.drained = True
                self._control.drain()
            case ShutdownStep.TERMINATE:
                self._control.stop()
                self.lives.nobody_waits()
            case ShutdownStep.KILL:
                for child in self._children:
                    child.kill()
                self.lives.nobody_waits()
            case _:
                return
        for child in self._children:
            child.bell.ring()


def _nothing(*args: object, **kwargs: object) -> None:
    """What is done elsewhere."""
