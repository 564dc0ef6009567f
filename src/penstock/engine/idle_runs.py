"""Runs that were killed and that nobody has resumed: whatever is started next says so and moves them to disk.

A failed run moves what it leaves by itself (`supervisor/leftover.py`); one whose supervisor was killed cannot.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from penstock.engine import forks, rundir
from penstock.engine.rundir import DAMAGED, REMOVING, FoundRun
from penstock.errors import AlreadyRunning, PenstockError
from penstock.plan.paths import RunPaths
from penstock.private_files import is_ours

log = logging.getLogger("penstock.engine")
_IDLE_S = 60.0
"""So long its own next run is waited for: it would only fetch it back."""


def settle_idle_runs(but: Path) -> None:
    """Move those in shared memory, except for `but`, whose turn it is now; says which."""
    left_to = rundir.left_to(None)
    if left_to is None:
        return
    shared = rundir.parents(None)[0]
    if not is_ours(shared, tighten=True):
        return  # somebody else was there first: this user's runs are in the next place
    runs = [run for run in rundir.find_runs(shared) if run.path != but and _is_idle(run)]
    moved = [run for run in runs if _settle(run, left_to / run.path.name)]
    if moved:
        from penstock.metrics import text

        log.warning(
            "moved %s that killed runs had left in shared memory to %s: %s; run them again to resume, or "
            "remove them: penstock clean", text.size(sum(run.size_bytes for run in moved)), left_to,
            ", ".join(sorted(run.name for run in moved)),
        )


def _is_idle(run: FoundRun) -> bool:
    if run.pid is not None or run.phase in (DAMAGED, REMOVING):
        return False
    paths = RunPaths(run.path)
    try:
        since = max(path.stat().st_mtime for path in (paths.lock, paths.phase))
    except FileNotFoundError:
        return False  # it is being resumed, or removed, this very moment
    return time.time() > since + _IDLE_S


def _settle(run: FoundRun, target: Path) -> bool:
    from penstock.supervisor.leftover import settle  # every start looks for such runs, and finds none
    from penstock.supervisor.stragglers import kill_stragglers

    try:
        lock_fd = forks.close_in_children(rundir.lock_run_dir(run.path))
    except AlreadyRunning:
        return False
    except OSError as exc:
        return _stays(run, exc)
    try:
        manifest = rundir.read_manifest(run.path)
        if manifest is None:
            return False
        kill_stragglers(manifest.run_id)
        return settle(run.path, target) == target
    except (OSError, PenstockError) as exc:
        return _stays(run, exc)
    finally:
        forks.close(lock_fd)


def _stays(run: FoundRun, why: Exception) -> bool:
    log.warning("what a run of %s left stays in %s: it cannot be moved (%s)", run.name, run.path, why)
    return False
