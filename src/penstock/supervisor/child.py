"""One slot, as the supervisor sees it: who lives in it, what its pages say, what the next life is told.

A slot's state changes here and nowhere else.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from penstock.channel.bell import OnePerPath, Ringer
from penstock.plan.paths import RunPaths
from penstock.slot.records.life import Exit, Life
from penstock.supervisor.after_death import Guidance
from penstock.supervisor.blame import Blame
from penstock.supervisor.life_watch import LifeWatch
from penstock.supervisor.ports import Machine, Zygote
from penstock.supervisor.protocol import RunSpec, SlotSpec
from penstock.supervisor.slot_pages import SlotPages
from penstock.supervisor.worker_process import WorkerProcess

_BIRTH_S = 60.0
"""How long a zygote may take to give birth, with many others to be born at the same time."""


class ChildState(Enum):
    """The life of a slot."""

    WAITING = "waiting"
    """For its time to be born."""
    SPAWNING = "spawning"
    ALIVE = "alive"
    FINISHED = "finished"
    GONE = "gone"
    """Dead, and nobody follows."""


_NEXT = {
    ChildState.WAITING: {ChildState.SPAWNING, ChildState.GONE},
    ChildState.SPAWNING: {ChildState.ALIVE, ChildState.WAITING, ChildState.GONE},
    ChildState.ALIVE: {ChildState.WAITING, ChildState.FINISHED, ChildState.GONE},
    ChildState.FINISHED: set[ChildState](),
    ChildState.GONE: {ChildState.GONE},
}


class Child:
    """A slot and the worker in it."""

    def __init__(self, spec: SlotSpec, root: Path, ringers: OnePerPath[Ringer], machine: Machine) -> None:
        self.spec = spec
        self._machine = machine
        self.paths = RunPaths(root).slot(spec.group, spec.slot)
        self._state = ChildState.WAITING
        self.due = 0.0
        """When it is to be born, or must have been."""
        self.attempt = 0
        self.process: WorkerProcess | None = None
        """The living worker; and the dead one whose status is not told yet."""
        self.zygote: Zygote | None = None
        """Who forks, or has forked, the worker."""
        self.watch: LifeWatch | None = None
        self.guidance = Guidance()
        self.blame = Blame(bisects=spec.bisects, chance=machine.clock.chance)
        self.pages = SlotPages(self.paths, spec.stages, machine.opening)
        self.pipes = machine.pipes(self.paths, spec.label)
        self.bell = ringers.of(self.paths.bell)
        self._neighbours = [ringers.of(root / bell) for bell in dict.fromkeys((*spec.senders, *spec.receivers))]

    @property
    def state(self) -> ChildState:
        return self._state

    def _become(self, state: ChildState) -> None:
        assert state in _NEXT[self._state], f"{self.spec.label} is {self._state.value}, and was to be {state.value}"
        self._state = state

    # Births.

    def wait_until(self, due: float) -> None:
        """The next one is born then."""
        self._become(ChildState.WAITING)
        self.due = due

    def spawn(self, zygote: Zygote, run: RunSpec) -> Life:
        """Its zygote is being asked; what the next life is told."""
        self._become(ChildState.SPAWNING)
        self.zygote, self.due = zygote, self._machine.clock.now_s() + _BIRTH_S
        self.attempt += 1
        # Nobody lives in the slot now, and `blame` has had its look at what the last life was doing.
        self.pages.clear()
        told = self.guidance
        self.guidance = Guidance(told.suspect, told.blamed)  # the rest was for this one life
        return Life(
            self.spec.group, self.spec.slot, self.attempt, run.run_id, run.dead_letters, told.suspect, told.careful,
            told.blamed, self.spec.crashes if self.attempt == 1 else (), told.ungathered, anew=not self.pages.proven,
            log_level=run.log_level, checkpointed=run.checkpoint is not None,
        )

    def born(self, pid: int, pidfd: int) -> None:
        self._become(ChildState.ALIVE)
        self.process = self._machine.worker(pid, pidfd, self._machine.clock.now_s())
        self.pages.born(pid, self.attempt)
        self.watch = LifeWatch(self.process.born_at)

    # Deaths.

    def left_with(self, code: int | None) -> Exit | None:
        """How the worker left, where it left in order."""
        assert self.process is not None
        return self.pages.left_with(self.attempt, self.process.pid, code)

    def died(self) -> None:
        """The worker is gone: neighbours look at what it may have published without ringing."""
        self._forget_process()
        self.pages.died()
        # All of them, asleep or not: what the dead worker owed to whom is not known.
        for bell in self._neighbours:
            bell.ring()

    def finish(self) -> None:
        """It is through."""
        self._become(ChildState.FINISHED)

    def give_up(self) -> None:
        """Nobody follows."""
        self._become(ChildState.GONE)
        self._forget_process()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def _forget_process(self) -> None:
        self.watch = None
        if self.process is not None:
            self.process.close()
        self.process = None
