"""What earlier runs left in other places than the one where this run belongs: it is fetched from there, or discarded.

A run that failed lies on disk, one that was killed may lie in shared memory or wherever there was room for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from penstock.engine import rundir
from penstock.engine.deployment import Deployment, Order
from penstock.engine.left_layout import keep_left
from penstock.engine.make_run import empty
from penstock.engine.room import FULL, NoRoom, require_room
from penstock.engine.run_lock import hold
from penstock.engine.run_spec import bytes_needed
from penstock.engine.rundir import Manifest
from penstock.engine.take_over import require_same, take_over
from penstock.engine.told_files import write_manifest
from penstock.errors import FileUnusable, LayoutChanged, QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.plan.topology import Topology
from penstock.supervisor.cleanup import remove_run_dir
from penstock.supervisor.leftover import fetch


def fetch_left(left: Path, path: Path, order: Order) -> Deployment | None:
    """Copy what was left to where it runs best. If there is no room it resumes where it lies: its deployment."""
    held = hold(left, order)
    try:
        manifest = rundir.read_manifest(left)
        if manifest is not None:
            try:
                topology = Topology(order.plan, require_same(order, left, manifest))
            except LayoutChanged as refused:  # it is made a checkpoint instead, for `resume`
                keep_left(order, left, held, manifest, refused)
                held.let_go()
                return None
            try:
                empty(path)
                require_room(path, bytes_needed(topology))
                fetch(left, path)
                # Last: killed before it, the copy is no run, and `left` still is one.
                write_manifest(RunPaths(path), replace(manifest, boot_id=rundir.boot_id()))
            except (NoRoom, OSError) as exc:
                if isinstance(exc, OSError) and exc.errno not in FULL:
                    raise FileUnusable(exc.filename or left, "what an earlier run left", exc) from exc
                return take_over(order, left, held, manifest)
    except BaseException:
        held.let_go()
        raise
    held.let_go()
    return None


def discard_doubles(elsewhere: Sequence[Path], order: Order, left: Manifest | None) -> None:
    """One run is in one place: what was copied here goes there, and all goes where the run starts afresh."""
    for place in elsewhere:
        held = hold(place, order)
        try:
            if left is None or _run_id_in(place) in (left.run_id, None):
                remove_run_dir(place)
        finally:
            held.let_go()


def _run_id_in(place: Path) -> str | None:
    try:
        manifest = rundir.read_manifest(place)
    except (QueueDamaged, FileUnusable):
        return ""
    return None if manifest is None else manifest.run_id
