"""Follows one run from its caller over supervisor and zygote to every worker's birth, and kills who is to be killed.

The supervisor is known by what it is exec'ed with, and what it forks is a zygote; workers are known by the order in
which the zygote forks them, which is that of the run's slots. Whoever is not to be killed is let go at birth. Called
by `sweep_run`, as the caller's parent.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sweep_ptrace as ptrace
from sweep_effects import OPTIONS, Victim

_FOLLOW = ptrace.OPTION_FORK | ptrace.OPTION_VFORK | ptrace.OPTION_EXEC | ptrace.OPTION_EXITKILL
_SUPERVISOR_BEGINS, _ZYGOTE_BEGINS = "prctl", "sendto"
"""Before these calls (to be a subreaper, to say that it is ready) they import and open what is theirs."""
_SUPERVISOR = "penstock.supervisor.main"


@dataclass(frozen=True)
class Orders:
    """Who dies, before which effect; an effect that never comes kills nobody."""

    first_lives: Mapping[str, int] = field(default_factory=dict)
    """By slot."""
    later_lives: Sequence[int] = ()
    """For later births, one after the other, whoever's they are."""
    supervisor: int = 0
    """Counted from its prctl on, which its `run` begins with."""
    zygote: int = 0
    """Counted from its word that it is ready."""


@dataclass
class Family:
    """The processes of one run, seen from outside."""

    caller: int
    orders: Orders
    slots: Sequence[str]
    """In the order in which the zygote is asked for them."""
    victims: dict[str, Victim] = field(default_factory=dict)
    """All that were watched, by slot and life, or by role."""
    run_dir: str = ""
    _supervisor: int = 0
    _supervisors: int = 0
    _zygotes: set[int] = field(default_factory=set)
    _zygotes_seen: int = 0
    _births: int = 0
    _awaited: dict[int, int | None] = field(default_factory=dict)
    """Whose birth was told and who was not seen yet; of workers, their number."""
    _known: set[int] = field(default_factory=set)
    """Whose first stop is behind them."""
    _stopped: set[int] = field(default_factory=set)
    """Processes seen whose birth was not told yet."""
    _watched: dict[int, Victim] = field(default_factory=dict)
    """By thread."""

    def follow(self, go: Callable[[], None]) -> None:
        """Until everybody that is traced is gone. `go` lets the caller begin, which waits for it."""
        ptrace.seize(self.caller, _FOLLOW)
        go()
        while True:
            try:
                tid, seen = os.waitpid(-1, ptrace.WALL)
            except ChildProcessError:
                return
            if not os.WIFSTOPPED(seen):
                self._watched.pop(tid, None)
                self._zygotes.discard(tid)
                self._known.discard(tid)
                continue
            try:
                self._on_stop(tid, os.WSTOPSIG(seen), seen >> 16)
            except ProcessLookupError:
                continue  # it was killed while it stood; its end is told next

    def kill(self) -> None:
        """End caller and supervisor; everybody else goes with them."""
        for pid in (self.caller, self._supervisor):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _on_stop(self, tid: int, number: int, event: int) -> None:
        if event == ptrace.EVENT_STOP and number != signal.SIGTRAP:
            ptrace.stay_stopped(tid)
            return
        victim = self._watched.get(tid)
        if event in (ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE):
            self._on_birth_told(tid, ptrace.event_message(tid), event)
        elif event == ptrace.EVENT_EXEC:
            victim = self._on_exec(tid) or victim
        elif event == ptrace.EVENT_STOP and tid not in self._known:
            self._known.add(tid)
            self._on_birth_seen(tid)
            return
        if victim is not None:
            victim.on_stop(tid, number, event)
        else:
            ptrace.go_on(tid, 0 if event else number)

    def _on_birth_told(self, parent: int, child: int, event: int) -> None:
        self._awaited[child] = None
        if event == ptrace.EVENT_CLONE:
            self._watched[child] = self._watched[parent]
        elif parent == self._supervisor:
            self._zygotes.add(child)
        elif parent in self._zygotes:
            # Numbered here: the zygote forks one after the other, but they may be seen in any order.
            self._awaited[child], self._births = self._births, self._births + 1
        if child in self._stopped:
            self._stopped.discard(child)
            self._on_birth_seen(child)

    def _on_birth_seen(self, child: int) -> None:
        if child not in self._awaited:
            self._stopped.add(child)
        elif (number := self._awaited.pop(child)) is not None:
            self._on_worker(child, number)
        elif child in self._zygotes:
            self._on_zygote(child)
        elif child in self._watched:
            ptrace.go_on_to_syscall(child)
        else:
            ptrace.set_options(child, _FOLLOW)
            ptrace.go_on(child)

    def _on_zygote(self, pid: int) -> None:
        self._zygotes_seen += 1
        if self.orders.zygote and self._zygotes_seen == 1:
            self._watch(pid, "zygote", Victim(pid, self.run_dir, self.orders.zygote, _ZYGOTE_BEGINS), _FOLLOW)
            ptrace.go_on_to_syscall(pid)
            return
        ptrace.set_options(pid, _FOLLOW)
        ptrace.go_on(pid)

    def _on_worker(self, pid: int, number: int) -> None:
        if number < len(self.slots):
            name = self.slots[number]
            kill_at = self.orders.first_lives.get(name)
        else:
            name, later = f"later life {number}", number - len(self.slots)
            kill_at = self.orders.later_lives[later] if later < len(self.orders.later_lives) else None
        if kill_at is None:
            ptrace.detach(pid)
            return
        self._watch(pid, name, Victim(pid, self.run_dir, kill_at))
        ptrace.go_on_to_syscall(pid)

    def _watch(self, pid: int, name: str, victim: Victim, more: int = 0) -> None:
        ptrace.set_options(pid, OPTIONS | more)
        self._watched[pid] = self.victims[name] = victim

    def _on_exec(self, pid: int) -> Victim | None:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        boot = next((word for word in words if _SUPERVISOR in word), "")
        if boot:
            self._supervisor = pid
            self.run_dir = words[words.index(boot) + 2]
            self._supervisors, self._births = self._supervisors + 1, 0
            if self.orders.supervisor and self._supervisors == 1:
                victim = Victim(pid, self.run_dir, self.orders.supervisor, _SUPERVISOR_BEGINS)
                self._watch(pid, "supervisor", victim, _FOLLOW)
                return self.victims["supervisor"]
        return None
