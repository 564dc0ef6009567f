"""Where the next run of a plan begins, in words, for whoever asks before it starts. Looks only."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from penstock.checkpoint_options import CheckpointOptions
from penstock.engine import rundir
from penstock.engine.resume import would_resume
from penstock.errors import PenstockError
from penstock.plan.changes import changes
from penstock.plan.membership import MEMBERSHIP_IS, decode_membership
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan
from penstock.program import current_program
from penstock.run_files import read_checked
from penstock.state_dir import known_store_place, positions_place, resolve_state_dir


class _Asked(msgspec.Struct, frozen=True):
    """As `resume.Asked`."""

    plan: Plan
    checkpoint: CheckpointOptions | None
    from_checkpoint: str
    positions: Path | None
    known_store: Path


def beginning(
    plan: Plan, *, run_dir: Path | str | None = None, state_dir: Path | str | None = None,
    checkpoint: CheckpointOptions | None = None, from_checkpoint: str = "",
) -> str:
    """A line. What keeps it from resuming stands in it, too."""
    state = resolve_state_dir(state_dir)
    name = rundir.folder_name(plan.pipeline, current_program().cwd)
    try:
        found = "" if from_checkpoint else _left(plan, [place / name for place in rundir.places(run_dir, state)])
        if not found:
            caller = any(stage.caller for stage in plan.stages.values())
            positions = None if caller else positions_place(state, name)
            found = would_resume(_Asked(plan, checkpoint, from_checkpoint, positions, known_store_place(state, name)))
    except PenstockError as exc:
        return f"the next run is refused: {exc}"
    return f"the next run resumes {found}" if found else "the next run starts from the beginning"


def _left(plan: Plan, places: list[Path]) -> str:
    """What a run has left there that was killed or has failed, or what one that is up has."""
    for path in places:
        left = rundir.read_manifest(path) if path.is_dir() else None
        if left is None or rundir.is_lost(path, left):
            continue
        paths = RunPaths(path)
        membership = decode_membership(read_checked(paths.membership, MEMBERSHIP_IS), paths.membership)
        found = changes(left.fingerprint, membership, plan)
        words = f"what the run of {time.ctime(left.started_s)} left in {path}"
        return ", ".join([words, *(f"refused: {line}" for line in found.refused), *found.told])
    return ""
