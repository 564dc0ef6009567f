"""Resumes where no run was left: from where a run stood that was told to end, or from a checkpoint.

Either is a checkpoint in a store. It is restored into a run directory, which is then taken over like any other.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from penstock.checkpoints.claimed import claim
from penstock.checkpoints.history import manifest_of, newest_first, read_log
from penstock.checkpoints.manifest import Holder, Manifest
from penstock.checkpoints.positions import store_at
from penstock.checkpoints.reopen import cut_short
from penstock.checkpoints.restore import Restoring, records_of, restore
from penstock.checkpoints.run_shape import RunShape, shape_of
from penstock.checkpoints.store import CheckpointStore
from penstock.checkpoints.stores import open_store
from penstock.dead_letter_store import letters_folder
from penstock.engine import rundir
from penstock.engine.deployment import Deployment, Order
from penstock.engine.make_run import empty
from penstock.engine.room import FULL, NoRoom, require_room
from penstock.engine.run_lock import Held
from penstock.engine.run_spec import bytes_needed, layout_of, queue_files
from penstock.engine.rundir import Manifest as RunManifest
from penstock.engine.take_over import take_over
from penstock.engine.told_files import write_layout, write_manifest
from penstock.errors import (
    CheckpointDamaged,
    FileUnusable,
    LayoutChanged,
    NoRunDirectory,
    NotPrivate,
    StoreUnavailable,
)
from penstock.metrics import text
from penstock.plan.fingerprint import ARGUMENTS, difference, fingerprint
from penstock.plan.membership import MEMBERSHIP_IS, decode_membership, membership_changes
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan
from penstock.plan.topology import Topology, with_splits
from penstock.private_files import replace_own
from penstock.run_files import write_checked
from penstock.supervisor import claims

log = logging.getLogger("penstock.engine")


class Source(msgspec.Struct, frozen=True):
    """A checkpoint to resume from."""

    store: CheckpointStore
    manifest: Manifest
    positions: bool
    """True: it is where a run stood that was told to end."""

    def __str__(self) -> str:
        taken = time.ctime(self.manifest.taken_s)
        if self.positions:
            return f"where the run stood that ended at {taken}"
        return f"from checkpoint {self.manifest.id} of {self.store.where}, which was taken at {taken}"


def resume(order: Order, path: Path, held: Held) -> Deployment | None:
    """The run that resumes in `path`; None: there is nothing to resume from, or what there is was through.

    Raises `LayoutChanged`, `NoSuchCheckpoint`, `StoreUnavailable`, `CheckpointDamaged`, and as `take_over` does.
    """
    damage: CheckpointDamaged | None = None
    for source in sources(order):
        try:
            topology = _topology(order.plan, source)
            if not order.from_checkpoint and _is_through(source, topology):
                return None
            _claim(order, source)
            return _resume(order, path, held, source, topology)
        except CheckpointDamaged as exc:
            if order.from_checkpoint:
                raise
            log.warning("%s", exc)
            damage = damage or exc
    if damage is not None:  # to start over as if there were none would be a wrong result
        raise damage
    return None


def sources(order: Order) -> Iterator[Source]:
    """What can be resumed from, the newest first. Raises `StoreUnavailable`, `NoSuchCheckpoint`, `ValueError`."""
    name = order.plan.pipeline
    store = None if order.checkpoint is None else open_store(order.checkpoint.store, name)
    try:
        yield from _sources(order, name, store)
    except NotPrivate as exc:  # of a store; of a run directory it would mean to try another place
        raise StoreUnavailable(str(exc.path), exc.why, "choose another store") from exc


def _sources(order: Order, name: str, store: CheckpointStore | None) -> Iterator[Source]:
    if order.from_checkpoint:
        if store is not None:
            yield Source(store, manifest_of(store, order.from_checkpoint), False)
        return
    stored = [] if store is None else [Source(store, manifest, False) for manifest in newest_first(store)]
    kept = []
    if order.positions is not None and order.positions.is_dir():
        place = store_at(order.positions, name)
        kept = [Source(place, manifest, True) for manifest in newest_first(place)]
    yield from sorted([*stored, *kept], key=lambda source: source.manifest.taken_s, reverse=True)


def _topology(plan: Plan, source: Source) -> Topology:
    """The slots of the checkpoint. Raises `LayoutChanged`, `CheckpointDamaged`."""
    cut, where = source.manifest.cut, source.store.where
    membership = decode_membership(cut.membership, Path(where))
    old = {name: line for name, line in cut.layout.items() if name != ARGUMENTS}
    new = {name: line for name, line in fingerprint(plan).items() if name != ARGUMENTS}
    changes = membership_changes(membership, plan) + difference(old, new)
    if changes:
        raise LayoutChanged(changes, f"checkpoint {source.manifest.id} of {where}")
    try:
        splits = msgspec.msgpack.decode(cut.splits, type=dict[str, dict[str, object]])
    except msgspec.MsgspecError as exc:
        raise CheckpointDamaged(where, source.manifest.id, f"its list of splits cannot be read ({exc})") from exc
    return Topology(with_splits(plan, splits), membership)


def _shape(topology: Topology) -> RunShape:
    return shape_of(layout_of(topology, 0.0))


def _endless(plan: Plan) -> frozenset[str]:
    return frozenset(n for n, stage in plan.stages.items() if stage.source is not None and not stage.source.bounded)


def _is_through(source: Source, topology: Topology) -> bool:
    """True: its run had finished."""
    found, shape = records_of(source.manifest, source.store.where), _shape(topology)
    records = [found[slot.group, slot.number] for slot in shape.slots]
    return all(record.finished for record in records) and not cut_short(shape, records, _endless(topology.plan))


def _claim(order: Order, source: Source) -> None:
    """From here on a run that still writes to this store is refused. Raises `CheckpointDamaged` for a race with it."""
    if source.positions:
        return
    claim(source.store, Holder(host=os.uname().nodename, pid=os.getpid(), run_id=source.manifest.cut.run_id))
    newest = read_log(source.store).manifests[-1:]
    if not order.from_checkpoint and newest and newest[0].number != source.manifest.number:
        what = f"another run has added checkpoint {newest[0].id} this very moment; run again"
        raise CheckpointDamaged(source.store.where, source.manifest.id, what)


def _resume(order: Order, path: Path, held: Held, source: Source, topology: Topology) -> Deployment:
    before = claims.noted(path)
    empty(path)
    claims.forget(path, before)
    needed = bytes_needed(topology)
    require_room(path, needed)
    paths, cut = RunPaths(path), source.manifest.cut
    letters = letters_folder(order.state_dir, order.plan.pipeline, cut.run_id)
    # Any number that no record of this run had before: it is only compared.
    to = Restoring(source.store, source.manifest, paths, letters, secrets.randbits(62) | 1)
    try:
        capacities = {queue.path.name: queue.capacity for queue in queue_files(topology, paths)}
        restore(to, _shape(topology), capacities, _endless(order.plan))
        write_checked(paths.splits, "the list of splits", cut.splits)
        write_checked(paths.membership, MEMBERSHIP_IS, cut.membership)
        write_layout(topology, paths, time.time())
        replace_own(paths.phase, b"starting")
    except (OSError, FileUnusable) as exc:
        if exc.errno in FULL:
            raise NoRoom(f"too little room for {text.size(needed)} of queues") from exc
        raise NoRunDirectory(path, f"it cannot be filled ({exc.strerror})") from exc
    manifest = RunManifest(
        order.plan.pipeline, str(os.getuid()), order.program.cwd, cut.run_id, time.time(), rundir.boot_id(),
        cut.layout, str(order.state_dir),
    )
    write_manifest(paths, manifest)
    return take_over(order, path, held, manifest, restored=str(source))
