"""The values of a deployment: what shall run and how, and the run directory that came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.engine import forks

if TYPE_CHECKING:
    from penstock.checkpoint_options import CheckpointOptions
    from penstock.engine.early_supervisor import EarlySupervisor
    from penstock.engine.supervisor_process import SupervisorProcess
    from penstock.plan.paths import RunPaths
    from penstock.plan.plan import Plan
    from penstock.plan.topology import Topology
    from penstock.program import Program
    from penstock.slot.records.life import Crash


class Order(msgspec.Struct, frozen=True):
    """What shall run, and how."""

    plan: Plan
    program: Program
    fresh: bool
    """True: what an earlier run left is discarded."""
    state_dir: Path
    crashes: Mapping[str, tuple[Crash, ...]]
    """A test's, by stage."""
    in_own_place: bool
    """True: the user named no place, and the folder above shall be ours alone."""
    left_to: Path | None
    """Where on disk what the run may leave goes to; None: it stays where it is."""
    early: EarlySupervisor
    """The supervisor, if it was started before all this was known."""
    checkpoint: CheckpointOptions | None = None
    """Where checkpoints go, and come from."""
    from_checkpoint: str = ""
    """The one to resume from; empty: what was left, else the newest one."""
    positions: Path | None = None
    """Where it is kept how far a run came that was told to end; None: it is not."""
    known_store: Path = Path()
    """Where it is noted on this machine what is known of the pipeline's store."""
    signals: Sequence[int] = ()
    """Those heard so far, where the caller only notes them."""

    def moves_to(self, root: Path) -> Path | None:
        """Where what a run leaves in `root` is moved to; None: it stays there."""
        return self.left_to if self.left_to != root else None


class Deployment(msgspec.Struct, frozen=True):
    """A run directory that is ready for its supervisor, and its lock."""

    paths: RunPaths
    topology: Topology
    program: Program
    run_id: str
    lock_fd: int
    claims: list[int]
    """Descriptors that hold the claims on what is written to."""
    supervisor: SupervisorProcess
    """It was started already, and is to be given all this."""
    dead_letters: Path
    """The run's folder of dead letters; it is made for the first one."""
    left_to: Path | None = None
    """Where what the run leaves is moved to; None: it stays where it is."""
    checkpoint: CheckpointOptions | None = None
    """Where its checkpoints go."""
    known_store: Path = Path()
    """As in `Order`."""

    def give_up(self) -> None:
        """Whoever was to have it has none: its supervisor ends, and the next run resumes."""
        self.supervisor.give_up()
        while self.claims:
            forks.close(self.claims.pop())
        forks.close(self.lock_fd)

    @property
    def plan(self) -> Plan:
        return self.topology.plan

    @property
    def caller_reads(self) -> bool:
        """True: queues end in the calling process, which reads results."""
        return any(stage.caller for stage in self.plan.stages.values())
