"""Deployment: finds the place of a run, and has its directory made (`make_run`) or taken over (`take_over`) there.

Where no supervisor was started early (`early_supervisor`), or that one does not fit, it is started as soon as the place
is ours. Whatever is not needed until then is imported afterwards, for all processes of a run wait for that one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.engine import rundir
from penstock.engine.deployment import Deployment, Order
from penstock.engine.descriptor_needs import descriptors_needed, descriptors_of_caller
from penstock.engine.early_supervisor import EarlySupervisor
from penstock.engine.idle_runs import settle_idle_runs
from penstock.engine.room import FULL, NoRoom, Unusable
from penstock.engine.run_lock import Held, hold
from penstock.engine.rundir import Manifest
from penstock.errors import (
    LayoutChanged,
    Mistake,
    NoRunDirectory,
    NotPrivate,
    PathNotUtf8,
    PipelineInvalid,
    TooFewDescriptors,
)
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan
from penstock.plan.topology import Topology
from penstock.private_files import require_safe_place
from penstock.program import current_program
from penstock.standard_streams import fill_gaps
from penstock.state_dir import (
    default_state_dir,
    known_store_place,
    passed_over,
    positions_place,
    resolve_state_dir,
)
from penstock.supervisor import descriptors
from penstock.supervisor.cleanup import remove_run_dir

if TYPE_CHECKING:
    from penstock.checkpoint_options import CheckpointOptions
    from penstock.slot.records.life import Crash

log = logging.getLogger("penstock.engine")


def deploy(
    plan: Plan, *, fresh: bool, run_dir: Path | str | None, state_dir: Path | str | None,
    crashes: Mapping[str, tuple[Crash, ...]] | None = None, signals: Sequence[int] = (),
    checkpoint: CheckpointOptions | None = None, from_checkpoint: str = "", early: EarlySupervisor | None = None,
) -> Deployment:
    """Make everything that workers will find, or take over what is there. `signals`: see `Order`.

    Raises `PipelineInvalid`, `AlreadyRunning`, `LayoutChanged`, `OutputExists`, `NoRunDirectory`, `NotPrivate`,
    `QueueDamaged`, `FileUnusable`, `PathNotUtf8`; and where it resumes from a checkpoint what stores raise. Raises
    `ValueError` for arguments that contradict each other, before anything that was left is discarded.
    """
    _require_one_beginning(fresh, checkpoint, from_checkpoint)
    if checkpoint is None:
        _require_nobody_waits(plan)
    fill_gaps()
    _require_descriptors(Topology.first(plan))
    program = current_program()
    state, usual = _state_dir(state_dir), rundir.named(run_dir) is None
    name = rundir.folder_name(plan.pipeline, program.cwd)
    positions = None if any(stage.caller for stage in plan.stages.values()) else positions_place(state, name)
    order = Order(
        plan, program, fresh, state, crashes or {}, usual, _left_to(run_dir, name),
        early or EarlySupervisor(), checkpoint, from_checkpoint, positions, known_store_place(state, name), signals,
    )
    if checkpoint is not None:
        from penstock.engine.known_stores import note_store  # most runs have no store

        note_store(order.known_store, str(checkpoint.store))
    on_disk = any(stage.settings.state_cache_bytes for stage in plan.stages.values())
    places = [parent / name for parent in rundir.parents(run_dir, state, on_disk=on_disk)]
    looks = [parent / name for parent in rundir.places(run_dir, state)]
    if usual:
        settle_idle_runs(but=places[0])
        if not rundir.SHARED_MEMORY.is_dir():
            log.warning("%s does not exist, so runs go to %s, which is slower", rundir.SHARED_MEMORY, places[0].parent)
    try:
        return _deploy_in_one_of(places, looks, order)
    except UnicodeEncodeError as exc:  # of a path that was to stand in a file: a split, a target, this directory
        raise PathNotUtf8(exc.object) from exc


def _require_one_beginning(fresh: bool, checkpoint: CheckpointOptions | None, from_checkpoint: str) -> None:
    if from_checkpoint and checkpoint is None:
        what = f"from_checkpoint={from_checkpoint!r} needs the store that it is in"
        raise ValueError(f"{what}; add checkpoint=penstock.checkpoint(...)")
    if from_checkpoint and fresh:
        raise ValueError(f"fresh=True starts over, from_checkpoint={from_checkpoint!r} resumes; give one of them")


def _require_nobody_waits(plan: Plan) -> None:
    """Without a store there are no checkpoints, and rows that wait for one would never be visible."""
    mistakes = []
    for stage in plan.stages.values():
        if stage.sink is not None and stage.sink.waits_for_checkpoint:
            file, _, line = stage.where.rpartition(":")
            what = f'{stage.name}: visible="at checkpoint" needs checkpoints, and this run has no store for them'
            remedy = "run with checkpoint=penstock.checkpoint(...) (`--checkpoint STORE`), or leave visible= out"
            mistakes.append(Mistake(file, int(line), what, remedy))
    if mistakes:
        raise PipelineInvalid(mistakes)


def _deploy_in_one_of(places: Sequence[Path], looks: Sequence[Path], order: Order) -> Deployment:
    """In the first of the places that will do; `looks`: where runs of this pipeline may lie."""
    path, *others = places
    while True:
        try:
            return _deploy_in(path, order, [place for place in looks if place != path])
        except NoRoom as exc:
            if not others:
                raise NoRunDirectory(path.parent, str(exc)) from exc
            others = others[-1:]
            log.warning(
                "%s has %s, so the run directory goes to %s, which is slower; give it more room, or choose a place "
                "with --run-dir", path.parent.parent, exc, others[0].parent,
            )
        except Unusable as exc:
            if not others:
                raise NoRunDirectory(exc.path, str(exc)) from exc
            log.warning(
                "%s: %s, so the run directory goes to %s; make it writable, or choose a place with --run-dir",
                exc.path, exc, others[0].parent,
            )
        except NotPrivate as exc:
            if not others:
                raise NoRunDirectory(exc.path, exc.why) from exc
            log.warning(
                "%s %s, so the run directory goes to %s; check what is there and remove it, or choose a place with "
                "--run-dir", exc.path, exc.why, others[0].parent,
            )
        path, *others = others


def _deploy_in(path: Path, order: Order, others: Sequence[Path]) -> Deployment:
    """In this place; what was left in `others`, where runs of this pipeline may lie too, is fetched or discarded."""
    held, made = _hold(path, order), False
    try:
        starts_over = order.fresh or bool(order.from_checkpoint)
        left = None if starts_over else rundir.read_manifest(path)
        elsewhere = [place for place in others if rundir.was_left_in(place)]
        if left is None and elsewhere and not starts_over:
            from penstock.engine.fetch_left import fetch_left

            made = True
            found = fetch_left(elsewhere[0], path, order)
            if found is not None:
                remove_run_dir(path)
                held.let_go()
                return found
            left = rundir.read_manifest(path)
        made = made or left is None
        if elsewhere:
            from penstock.engine.fetch_left import discard_doubles

            discard_doubles(elsewhere, order, left)
        if left is not None and not rundir.is_lost(path, left):
            return _take_over(order, path, held, left)
        resumed = _resume(order, path, held)
        if resumed is not None:
            return resumed
        return _make_run(order, path, held) if left is None else _take_over(order, path, held, left)
    except BaseException:
        held.disclaim()
        if made and not RunPaths(path).manifest.exists():
            remove_run_dir(path)
        held.let_go()
        raise


def _resume(order: Order, path: Path, held: Held) -> Deployment | None:
    """From a checkpoint, or from where a run stood that was told to end; None: there is neither."""
    kept = order.positions is not None and order.positions.is_dir()
    if order.fresh:
        if kept and order.positions is not None:
            from penstock.checkpoints.positions import forget_positions

            forget_positions(order.positions)
        if order.checkpoint is not None:
            from penstock.engine.resume import start_over

            start_over(order)
        return None
    if not kept and order.checkpoint is None:
        return None
    from penstock.engine.resume import resume  # what most runs do without

    return resume(order, path, held)


def _make_run(order: Order, path: Path, held: Held) -> Deployment:
    run_id = order.early.run_id
    held.start_supervisor(path, run_id)
    from penstock.engine.make_run import make_run  # while the supervisor imports what it needs

    return make_run(order, path, held, run_id)


def _take_over(order: Order, path: Path, held: Held, left: Manifest) -> Deployment:
    from penstock.engine.take_over import take_over

    try:
        return take_over(order, path, held, left)
    except LayoutChanged as refused:
        from penstock.engine.left_layout import keep_left
        from penstock.engine.resume import resume

        keep_left(order, path, held, left, refused)
        resumed = resume(order, path, held)
        if resumed is None:
            raise
        return resumed


def _hold(path: Path, order: Order) -> Held:
    try:
        return hold(path, order)
    except OSError as exc:
        place, why = Path(exc.filename or path), f"it cannot be made ({exc.strerror})"
        if os.path.exists(RunPaths(path).manifest):  # rows wait there, and are not passed over
            raise NoRunDirectory(place, why) from exc
        if exc.errno in FULL:
            remove_run_dir(path)
            raise NoRoom(f"no room at all ({exc.strerror})") from exc
        raise Unusable(place, why) from exc


def _state_dir(state_dir: Path | str | None) -> Path:
    """Where dead letters go. Raises `NotPrivate` for a place that the user named; of the usual ones, takes the next."""
    place = resolve_state_dir(state_dir)
    require_safe_place(place)
    passed = passed_over()
    if place == default_state_dir() and passed is not None:
        log.warning("%s %s, so dead letters go to %s; choose a place with --state-dir", passed.path, passed.why, place)
    return place


def _left_to(run_dir: Path | str | None, name: str) -> Path | None:
    folder = rundir.left_to(run_dir)
    return None if folder is None else folder / name


def _require_descriptors(topology: Topology) -> None:
    """Raises `TooFewDescriptors` before anything is made."""
    needed = descriptors_needed(topology)
    if needed > descriptors.allowed():
        raise TooFewDescriptors(needed, descriptors.allowed())
    descriptors.make_room(descriptors_of_caller(topology))
