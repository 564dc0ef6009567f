"""Many processes in one, each a greenlet, with a clock of their own. Which one runs next is drawn by a seed.

Whatever a process does to what others can see passes through `Schedule.point`. There it may have to give way, and
there it is killed: what it would have done after that never happens. A process that waits costs no time: when all
wait, the clock jumps to what is due first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet

TICK_S = 2e-6
"""What each point takes."""
_MOST_POINTS = 300_000
"""Of all processes that come to an end by themselves."""
_MOST_QUIET_S = 60.0
"""So long there may be no progress. What takes longest is a slot that waits for its next life, 36 seconds at most; a
row that hangs is ended sooner."""
_MOST_POINTS_OF_THE_DEAD = 2_000


class Killed(BaseException):
    """The process is dead: raised at every point, until it has unwound."""


class Violation(AssertionError):
    """Something that must never be."""


class Process:
    """One process, from its birth to its death."""

    def __init__(self, schedule: Schedule, name: str, body: Callable[[], None], ended: Callable[[int], None]) -> None:
        """`ended` is called with a wait status, as `waitpid` gives it, whatever the death."""
        self.name = name
        self.pid = self.slot = 0
        self.ended = ended
        self.dead = False
        self.status = 0
        """What it dies of, where it does not end by itself."""
        self.dies_in: int | None = None
        """It is killed after so many points."""
        self.wakes_at: float | None = None
        """While it waits: until when at most."""
        self.rung = False
        self.ringable = False
        self.misses: Callable[[], bool] | None = None
        """While it sleeps until it is rung: whether there is something to do for it."""
        self.pending: list[tuple[Any, Any, Any]] = []
        """Stores that others do not see yet, oldest first: (memory, index, value)."""
        self.own: dict[tuple[int, int], int] = {}
        """Words among them, for its own loads."""
        self.maps = True
        """It maps memory; one that uses system calls hides no store."""
        self.endless = False
        """It goes on until it is killed, so what it does is no sign that a run does not end."""
        self.points_dead = 0
        self.greenlet = greenlet(body, schedule.hub)

    def show_stores(self, count: int | None = None) -> None:
        """Let others see its oldest stores; None: all of them."""
        pending = self.pending
        if not pending:
            return
        now = pending if count is None or count >= len(pending) else pending[:count]
        for memory, index, value in now:
            memory[index] = value
        if now is pending:
            self.pending, self.own = [], {}
        else:
            del pending[:count]
            self.own = {(id(m), i): v for m, i, v in pending if isinstance(i, int)}


class Schedule:
    """The processes of one simulation."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.hub = getcurrent()
        self.now = 1000.0
        self.current: Process | None = None
        self.processes: list[Process] = []
        self.points = 0
        self._ending_points = 0
        """Those of processes that come to an end."""
        self._progress_at = self.now
        self.hidden_stores = self.random.random() < 0.5
        """Stores are seen late, as x86 allows; a fence or a system call shows them."""
        self.mean_quantum = self.random.choice((2.0, 8.0, 25.0, 80.0))
        self._favourite = self.random.random() < 0.3
        """One process at a time is preferred to all others, for a while."""
        self._preferred: Process | None = None
        self._left = 0
        self._quantum = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._violated = ""
        self.trace: list[str] | None = None

    # Called by processes.

    def point(self) -> None:
        """Something happens that others can see, or what others did is looked at."""
        process = self.current
        if process is None:
            return
        if process.dead:
            self._of_the_dead(process)
        self._left -= 1
        if self._left < 0:
            self._give_way(process)

    def wait(self, seconds: float, *, ringable: bool, misses: Callable[[], bool] | None = None) -> bool:
        """Wait; True: rung. A system call: all stores are seen. `misses`: of `Process`."""
        process = self.current
        assert process is not None
        if process.dead:
            self._of_the_dead(process)
        process.show_stores()
        process.ringable, process.wakes_at = ringable, self.now + max(seconds, 0.0)
        process.misses = misses
        self._give_way(process)
        rung, process.rung = process.rung, False
        return rung

    def spend(self, seconds: float) -> None:
        """Compute; others run meanwhile."""
        self.wait(seconds, ringable=False)

    def die(self, status: int) -> None:
        """The running process dies of its own doing."""
        process = self.current
        assert process is not None
        process.status = status
        process.dies_in = 0
        self._give_way(process)

    def violate(self, what: str) -> None:
        """Something was seen that must never be; raised where nobody can catch it."""
        self._violated = self._violated or what

    def time_s(self) -> float:
        """Seconds, which never go back."""
        return self.now + TICK_S * (self._quantum - self._left)

    def fence(self) -> None:
        """Stores of the running process are seen from now on."""
        if self.current is not None:
            self.current.show_stores()

    def _of_the_dead(self, process: Process) -> None:
        process.points_dead += 1
        if process.points_dead > _MOST_POINTS_OF_THE_DEAD:
            raise SystemError(f"{process.name} is dead and does not unwind")
        raise Killed

    def _give_way(self, process: Process) -> None:
        self.hub.switch()
        if process.dead:
            raise Killed

    # Called by whoever drives.

    def start(self, name: str, body: Callable[[], None], ended: Callable[[int], None]) -> Process:
        """Another process; it runs when its turn comes."""
        process = Process(self, name, body, ended)
        self.processes.append(process)
        self.progress()
        return process

    def progress(self) -> None:
        """Something was done that brings the run nearer to its end."""
        self._progress_at = self.now

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Call it at this time, between the steps of processes."""
        self._numbers += 1
        heapq.heappush(self._events, (when, self._numbers, do))

    def ring(self, process: Process | None) -> None:
        """Wake a process that waits for it."""
        if process is not None and process.ringable:
            process.rung = True

    def kill(self, process: Process, status: int = 9) -> None:
        """End it here and now: what it stored is there, and nothing of it comes after."""
        if process.dead:
            return
        process.show_stores()
        process.dead = True
        process.status = process.status or status
        self.processes.remove(process)
        if process is self._preferred:
            self._preferred = None
        before, self.current = self.current, process
        try:
            process.greenlet.throw(Killed)
        except Killed:
            pass
        finally:
            self.current = before
        if not process.greenlet.dead:
            raise SystemError(f"{process.name} is dead and still runs")
        process.ended(process.status)

    def run(self, over: Callable[[], bool], until: float) -> bool:
        """Until it is over; False: the time came first."""
        self.hub = getcurrent()
        while not over():
            if self.now >= until:
                return False
            self._step()
        return True

    def _step(self) -> None:
        if self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
            return
        now = self.now
        runnable = [p for p in self.processes if p.wakes_at is None or p.rung or p.wakes_at <= now]
        if runnable:
            self._let_run(self._choose(runnable))
            return
        times = [p.wakes_at for p in self.processes if p.wakes_at is not None]
        times += [event[0] for event in self._events[:1]]
        if not times:
            raise Violation("nobody has anything to do, and it is not over")
        due = min(times)
        if due > self.now + 1e-6:
            self._look_at_the_sleepers()
        self.now = due

    def _look_at_the_sleepers(self) -> None:
        """Nobody is about to ring: whoever sleeps until it is rung, and has something to do, was forgotten."""
        for process in self.processes:
            if process.misses is not None and process.misses():
                raise Violation(f"{process.name} sleeps, and nobody rings it, though there is something to do")

    def _look_for_an_end(self, process: Process, used: int) -> None:
        if not process.endless:
            self._ending_points += used
            if self._ending_points > _MOST_POINTS:
                raise Violation("it does not come to an end")
        if self.now > self._progress_at + _MOST_QUIET_S:
            raise Violation(f"nobody has got anything done for {_MOST_QUIET_S:g} s")

    def _choose(self, runnable: list[Process]) -> Process:
        if len(runnable) == 1:
            return runnable[0]
        if self._favourite:
            if self._preferred not in runnable or self.random.random() < 0.02:
                self._preferred = self.random.choice(runnable)
            if self.random.random() < 0.9:
                assert self._preferred is not None
                return self._preferred
        return runnable[int(self.random.random() * len(runnable))]

    def _let_run(self, process: Process) -> None:
        quantum = int(self.random.expovariate(1.0) * self.mean_quantum)
        if process.dies_in is not None:
            quantum = min(quantum, process.dies_in)
        self._left = self._quantum = quantum
        process.wakes_at, process.ringable, process.misses = None, False, None
        if self.trace is not None:
            self.trace.append(f"{self.now:.6f} {process.name}")
        self.current = process
        process.greenlet.switch()
        self.current = None
        if self._violated:
            raise Violation(self._violated)
        used = quantum - max(self._left, 0)
        self.points += used
        self.now += TICK_S * (used + 1)
        self._left = self._quantum = 0
        self._look_for_an_end(process, used)
        if process.greenlet.dead:
            process.dead = True
            process.show_stores()
            self.processes.remove(process)
            process.ended(process.status)
            return
        if process.dies_in is not None:
            process.dies_in -= used
            if process.dies_in <= 0:
                self.kill(process)
                return
        if process.pending:
            drawn = self.random.random()
            if drawn < 0.4:
                process.show_stores(int(drawn * 2.5 * (len(process.pending) + 1)))
            elif drawn < 0.6:
                process.show_stores()
