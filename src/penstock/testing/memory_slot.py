"""One slot of a run in memory: the worker's own code, a step at a time, and one life after the other."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.plan.topology import Slot, Topology
from penstock.slot.loop import SlotLoop
from penstock.slot.ports import World
from penstock.slot.process.stops import CarefulRestart
from penstock.slot.records.life import Life
from penstock.slot.records.work_page import WorkPage
from penstock.slot.worker import Worker
from penstock.testing.memory_ends import Killed, with_instances_of_slot


class MemorySlot:
    """A slot that works when it is its turn."""

    def __init__(self, topology: Topology, slot: Slot, world: World, life: Life) -> None:
        """`life`: its first one."""
        self.group, self.number = slot.group, slot.number
        self.restarts = 0
        self._topology = replace(topology, plan=with_instances_of_slot(topology.plan, slot.number))
        self._world = world
        self._life = life
        self._bell = world.bell_of(world.paths.slot(slot.group, slot.number).bell)
        self._worker: Worker | None = None
        self._loop: SlotLoop | None = None
        self._is_stepping = False
        """True: it waits in the middle of a step, below what runs now."""

    def open(self) -> None:
        """Begin a life. Raises `StageFailed` and `Trouble`."""
        work = WorkPage(self._world.paths.slot(self.group, self.number).work, self._world.opening, self._world.clock)
        work.clear()
        self._worker = Worker(self._topology, self._world, self._life, work)
        if self._worker.open():
            assert self._worker.loop is not None
            self._loop = self._worker.loop.begin()

    def step(self) -> bool:
        """Do one thing. False: there is nothing to do now. Raises `StageFailed` and `Trouble`."""
        loop = self._loop
        if loop is None or self._is_stepping:
            return False
        self._is_stepping = True
        self._bell.say_awake()
        try:
            worked = loop.do_next()
        except CarefulRestart as restart:
            self._begin_next_life(careful=restart.rows)
            worked = True
        except Killed:
            self.restarts += 1
            self._begin_next_life()
            worked = True
        finally:
            self._is_stepping = False
        if not worked:
            self._bell.say_asleep(loop.sleeps_for)
        elif self._loop is loop and loop.finished:
            self.close()
        return worked

    def _begin_next_life(self, *, careful: int = 0) -> None:
        """The life is over as if it were killed: what it has not committed never happened."""
        assert self._worker is not None
        if self._worker.event_loop is not None:
            self._worker.event_loop.close()
        self._life = replace(self._life, attempt=self._life.attempt + 1, careful=careful, anew=False)
        self.open()

    @property
    def finished(self) -> bool:
        return self._loop is None

    def close(self) -> None:
        """The last life ends, whether or not it is through."""
        worker, self._worker, self._loop = self._worker, None, None
        if worker is not None:
            worker.close()

    # While there is nothing to do.

    def waits_for_s(self) -> float | None:
        """How long nothing will happen here by itself; None: it is through, or waits for neighbours alone."""
        return None if self._loop is None or self._is_stepping else self._loop.waits_for_s()

    @property
    def has_rows_in_flight(self) -> bool:
        """True: its coroutines run while it waits."""
        return self._loop is not None and self._loop.has_rows_in_flight

    def let_coroutines_run(self, seconds: float) -> None:
        """Until a row is through, or for this long."""
        assert self._worker is not None and self._worker.event_loop is not None
        self._worker.event_loop.wait(seconds)
