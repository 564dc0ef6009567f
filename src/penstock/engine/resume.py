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
from typing import Protocol

import msgspec

from penstock.checkpoint_options import CheckpointOptions
from penstock.checkpoints.claimed import claim
from penstock.checkpoints.earlier_run import EarlierRun, earlier_run
from penstock.checkpoints.history import manifest_of, newest_first, read_log
from penstock.checkpoints.manifest import Holder, Manifest
from penstock.checkpoints.positions import store_at
from penstock.checkpoints.rescale import Rescaled, letters_of_gone, rescaled, write_rescaled
from penstock.checkpoints.restore import Restoring, records_of, restore
from penstock.checkpoints.run_shape import shape_of
from penstock.checkpoints.store import CheckpointStore
from penstock.checkpoints.stores import open_store
from penstock.dead_letter_store import letters_folder
from penstock.engine import rundir
from penstock.engine.deployment import Deployment, Order
from penstock.engine.gone_sinks import finish_gone_sinks
from penstock.engine.known_stores import read_known
from penstock.engine.make_run import empty, prepare_sinks, splits_of
from penstock.engine.room import FULL, NoRoom, require_room
from penstock.engine.run_lock import Held
from penstock.engine.run_spec import bytes_needed, layout_of, queue_files
from penstock.engine.rundir import Manifest as RunManifest
from penstock.engine.take_over import take_over
from penstock.engine.told_files import write_layout, write_manifest
from penstock.errors import (
    CheckpointDamaged,
    FileUnusable,
    NoRunDirectory,
    NotPrivate,
    QueueDamaged,
    StoreUnavailable,
)
from penstock.metrics import text
from penstock.plan.changes import Changes, changes
from penstock.plan.fingerprint import ARGUMENTS, fingerprint
from penstock.plan.membership import (
    MEMBERSHIP_IS,
    Membership,
    decode_membership,
    encode_membership,
    membership_for,
)
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
    newest: int = 0
    """The newest checkpoint of the store when it was looked at: this one, or one that is damaged."""

    def __str__(self) -> str:
        taken_s = self.manifest.taken_s
        taken = f"{text.span(max(time.time() - taken_s, 0.0))} ago, at {time.ctime(taken_s)}"
        if self.positions:
            return f"where the run stood that ended {taken}"
        return f"from checkpoint {self.manifest.id} of {self.store.where}, which was taken {taken}"


class Asked(Protocol):
    """What says where a run may resume from: an `Order`, or whoever only looks."""

    @property
    def plan(self) -> Plan: ...

    @property
    def checkpoint(self) -> CheckpointOptions | None: ...

    @property
    def from_checkpoint(self) -> str: ...

    @property
    def positions(self) -> Path | None: ...

    @property
    def known_store(self) -> Path: ...


def start_over(order: Order) -> None:
    """Nobody resumes from the checkpoints of earlier runs any more, unless asked to.

    Before the new run is made: if the machine is lost before its first checkpoint, the next run starts over, too.
    Raises `StoreUnavailable`.
    """
    assert order.checkpoint is not None
    store = open_store(order.checkpoint.store, order.plan.pipeline)
    try:
        if read_log(store).found:
            claim(store, Holder(host=os.uname().nodename, pid=os.getpid(), run_id=""), starts_over=True)
    except NotPrivate as exc:
        raise StoreUnavailable(str(exc.path), exc.why, "choose another store") from exc
    finally:
        store.close()


def resume(order: Order, path: Path, held: Held) -> Deployment | None:
    """The run that resumes in `path`; None: there is nothing to resume from, or what was kept was through.

    Raises `LayoutChanged`, `NoSuchCheckpoint`, `StoreUnavailable`, `CheckpointDamaged`, and as `take_over` does.
    """
    damage: CheckpointDamaged | None = None
    for source in sources(order):
        try:
            found = _found(order.plan, source)
            if source.positions and found.is_through:
                return None
            way = _way(order.plan, found)
            _claim(order, source)
            return _resume(order, path, held, source, way)
        except CheckpointDamaged as exc:
            if order.from_checkpoint:
                raise
            log.warning("%s", exc)
            damage = damage or exc
    if damage is not None:  # to start over as if there were none would be a wrong result
        raise damage
    return None


def would_resume(asked: Asked) -> str:
    """Where `resume` would, in words; empty: it would not. Looks only. Raises as `resume` does."""
    for source in sources(asked):
        found = _found(asked.plan, source)
        if source.positions and found.is_through:
            return ""
        way = _way(asked.plan, found)
        return ", ".join([str(source), *found.changes.told]) if way.rescaled is not None else str(source)
    return ""


def sources(order: Asked) -> Iterator[Source]:
    """What can be resumed from, the newest first. Raises `StoreUnavailable`, `NoSuchCheckpoint`, `ValueError`."""
    name = order.plan.pipeline
    store = None if order.checkpoint is None else open_store(order.checkpoint.store, name)
    try:
        yield from _sources(order, name, store)
    except NotPrivate as exc:  # of a store; of a run directory it would mean to try another place
        raise StoreUnavailable(str(exc.path), exc.why, "choose another store") from exc


def _sources(order: Asked, name: str, store: CheckpointStore | None) -> Iterator[Source]:
    if order.from_checkpoint:
        if store is not None:
            yield Source(store, manifest_of(store, order.from_checkpoint), False)
        return
    stored = []
    if store is not None:
        found = _in_progress(order, store)
        stored = [Source(store, manifest, False, found[0].number) for manifest in found]
    kept = []
    if order.positions is not None and order.positions.is_dir():
        place = store_at(order.positions, name)
        kept = [Source(place, manifest, True) for manifest in newest_first(place)]
    yield from sorted([*stored, *kept], key=lambda source: source.manifest.taken_s, reverse=True)


def _in_progress(order: Asked, store: CheckpointStore) -> list[Manifest]:
    """Checkpoints of runs that are not over, as far as the store and this machine know."""
    known, found = read_known(order.known_store), list(newest_first(store))
    if known is None or not found or found[0].taken_s > known.over_s:
        return found
    log.warning(
        "checkpoint %s of %s, which was taken at %s, is passed over: a run has finished since, at %s; "
        "--from %s resumes from it", found[0].id, store.where, time.ctime(found[0].taken_s), time.ctime(known.over_s),
        found[0].id,
    )
    return []


class _Found(msgspec.Struct, frozen=True):
    """A checkpoint, read."""

    source: Source
    membership: Membership
    splits: dict[str, dict[str, object]]
    changes: Changes
    """From its run to the plan."""
    earlier: EarlierRun

    @property
    def is_through(self) -> bool:
        """True: its run had finished."""
        return all(self.earlier.is_through(stage) for stage in self.earlier.layout.stages)


def _found(plan: Plan, source: Source) -> _Found:
    """Raises `CheckpointDamaged`, `StoreUnavailable`."""
    cut, where, number = source.manifest.cut, source.store.where, source.manifest.id
    try:
        membership = decode_membership(cut.membership, Path(where))
        splits = msgspec.msgpack.decode(cut.splits, type=dict[str, dict[str, object]])
        found = changes(cut.layout, membership, plan)
    except (msgspec.MsgspecError, ValueError, QueueDamaged) as exc:
        what = f"its list of slots, of splits or its layout cannot be read ({exc})"
        raise CheckpointDamaged(where, number, what) from exc
    records = records_of(source.manifest, where)
    earlier = earlier_run(source.store, source.manifest, found.earlier, membership, records, _endless(plan))
    return _Found(source, membership, splits, found, earlier)


class _Way(msgspec.Struct, frozen=True):
    """How a checkpoint is restored."""

    found: _Found
    topology: Topology
    rescaled: Rescaled | None
    """None: it is restored as it was."""


def _way(plan: Plan, found: _Found) -> _Way:
    """Raises `LayoutChanged`, `CheckpointDamaged`, `StoreUnavailable`, and what new sources do."""
    if found.changes.is_same(found.source.manifest.cut.layout, plan):
        return _Way(found, Topology(with_splits(plan, found.splits), found.membership), None)
    planned = with_splits(plan, {**found.splits, **splits_of(plan, found.changes.come)})
    topology = Topology(planned, membership_for(found.membership, plan))
    return _Way(found, topology, rescaled(topology, found.changes, found.earlier))


def _endless(plan: Plan) -> frozenset[str]:
    return frozenset(n for n, stage in plan.stages.items() if stage.source is not None and not stage.source.bounded)


def _claim(order: Order, source: Source) -> None:
    """From here on a run that still writes to this store is refused. Raises `CheckpointDamaged` for a race with it."""
    if source.positions:
        return
    claim(source.store, Holder(host=os.uname().nodename, pid=os.getpid(), run_id=source.manifest.cut.run_id))
    newest = read_log(source.store).manifests[-1:]
    if not order.from_checkpoint and newest and newest[0].number > source.newest:
        what = f"another run has added checkpoint {newest[0].id} this very moment; run again"
        raise CheckpointDamaged(source.store.where, source.manifest.id, what)


def _resume(order: Order, path: Path, held: Held, source: Source, way: _Way) -> Deployment:
    before = claims.noted(path)
    empty(path)
    claims.forget(path, before)
    topology, cut = way.topology, source.manifest.cut
    needed = bytes_needed(topology)
    require_room(path, needed)
    if way.rescaled is not None:
        topology = _with_ends(order, path, held, way, way.rescaled)
    paths = RunPaths(path)
    letters = letters_folder(order.state_dir, order.plan.pipeline, cut.run_id)
    # Any number that no record of this run had before: it is only compared.
    lineage = secrets.randbits(62) | 1
    to = Restoring(source.store, source.manifest, paths, letters, lineage, way.found.membership.letters)
    try:
        if way.rescaled is not None:
            write_rescaled(to, way.rescaled)
        else:
            capacities = {queue.path.name: queue.capacity for queue in queue_files(topology, paths)}
            restore(to, shape_of(layout_of(topology, 0.0)), capacities, _endless(order.plan))
        splits = msgspec.msgpack.encode({n: s.splits for n, s in topology.plan.stages.items() if s.source})
        write_checked(paths.splits, "the list of splits", splits)
        write_checked(paths.membership, MEMBERSHIP_IS, encode_membership(topology.membership))
        write_layout(topology, paths, time.time())
        replace_own(paths.phase, b"starting")
    except (OSError, FileUnusable) as exc:
        if exc.errno in FULL:
            raise NoRoom(f"too little room for {text.size(needed)} of queues") from exc
        raise NoRunDirectory(path, f"it cannot be filled ({exc.strerror})") from exc
    manifest = RunManifest(
        order.plan.pipeline, str(os.getuid()), order.program.cwd, cut.run_id, time.time(), rundir.boot_id(),
        {**fingerprint(order.plan), ARGUMENTS: cut.layout.get(ARGUMENTS, "")}, str(order.state_dir),
    )
    write_manifest(paths, manifest)
    told = ", ".join([str(source), *way.found.changes.told]) if way.rescaled is not None else str(source)
    return take_over(order, path, held, manifest, restored=told)


def _with_ends(order: Order, path: Path, held: Held, way: _Way, run: Rescaled) -> Topology:
    """Sinks that are new have their targets prepared, those of slots that are gone are finished."""
    held.claim(path, order.plan)
    try:
        prepare_sinks(order.plan, way.found.changes.come_sinks(order.plan), order.signals)
        gone = finish_gone_sinks(order.plan, way.found.changes.rescaled, run.earlier)
    finally:
        held.disclaim()
    membership = membership_for(way.found.membership, order.plan, gone, letters_of_gone(run))
    return Topology(way.topology.plan, membership)
