"""The locks of a deployment: the run directory's, and the claims on what its sinks write to.

All are descriptors, kept from what the user's code forks; they go to the supervisor.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from penstock.engine import forks, rundir
from penstock.engine.deployment import Order
from penstock.engine.early_supervisor import EarlySupervisor
from penstock.engine.supervisor_process import SupervisorProcess
from penstock.errors import AlreadyRunning
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan
from penstock.supervisor import claims

_ENDING_S = 60.0
_GONE_S = 10.0
"""So long whoever had the lock may be gone without its being free: the kernel takes back what a dead process had a
little later, and a child has it until it becomes another program."""
_LOOK_S = 0.02


class Held:
    """What a deployment holds by now."""

    def __init__(self, lock_fd: int, early: EarlySupervisor) -> None:
        self.lock_fd = lock_fd
        self._early = early
        self.claims: list[int] = []
        self._supervisor: SupervisorProcess | None = None

    def start_supervisor(self, path: Path, run_id: str) -> None:
        """Start the one that will be given it all, unless it is under way."""
        self._supervisor = self._early.take(path, run_id)

    @property
    def supervisor(self) -> SupervisorProcess:
        """The one that was started."""
        assert self._supervisor is not None
        return self._supervisor

    def claim(self, path: Path, plan: Plan) -> None:
        """Claim what the sinks write to. Raises `TargetInUse`."""
        targets = [target for stage in plan.stages.values() if stage.sink is not None for target in stage.sink.claims]
        self.claims.extend(map(forks.close_in_children, claims.take(path, plan.pipeline, targets)))

    def disclaim(self) -> None:
        """Give the claims up, not the directory."""
        while self.claims:
            forks.close(self.claims.pop())

    def let_go(self) -> None:
        """Give it all up."""
        if self._supervisor is not None:
            self._supervisor.give_up()
        self.disclaim()
        forks.close(self.lock_fd)


def hold(path: Path, order: Order) -> Held:
    """The run directory, made if it is not there. A run that is ending, its caller dead or served, is waited for."""
    began = time.monotonic()
    while True:
        try:
            lock_fd = forks.close_in_children(rundir.lock_run_dir(path, in_own_place=order.in_own_place))
            return Held(lock_fd, order.early)
        except AlreadyRunning as running:
            if time.monotonic() > began + _patience_s(path, running.pid):
                raise
        time.sleep(_LOOK_S)


def _patience_s(path: Path, owner: int) -> float:
    """How long a lock is waited for. `owner`: the process that is noted in it."""
    if owner == os.getpid():
        return 0.0 if forks.holds(RunPaths(path).lock) else _GONE_S
    if rundir.read_phase(path) in ("left", "ended", "failed"):
        return _ENDING_S
    return _GONE_S if _has_exited(owner) else 0.0


def _has_exited(pid: int) -> bool:
    """True: there is no such process, or it waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # it is kept from us
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")
