"""The locks of a deployment: the run directory's, and the claims on what its sinks write to.

All are descriptors, kept from what the user's code forks; they go to the supervisor.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from penstock.engine import forks, rundir
from penstock.engine.deployment import Order
from penstock.errors import AlreadyRunning
from penstock.plan.plan import Plan
from penstock.supervisor import claims

_ENDING_S = 60.0
_LOOK_S = 0.02


class Held(msgspec.Struct, frozen=True):
    """What a deployment holds by now."""

    lock_fd: int
    claims: list[int] = msgspec.field(default_factory=list)

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
        self.disclaim()
        forks.close(self.lock_fd)


def hold(path: Path, order: Order) -> Held:
    """The run directory, made if it is not there. A run that is ending, its caller dead or served, is waited for."""
    deadline = time.monotonic() + _ENDING_S
    while True:
        try:
            return Held(forks.close_in_children(rundir.lock_run_dir(path, in_own_place=order.in_own_place)))
        except AlreadyRunning as running:
            if running.pid == os.getpid():
                raise
            if rundir.read_phase(path) not in ("left", "ended", "failed") or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_S)
