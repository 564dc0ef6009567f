"""Deployment: makes a run directory for a plan, or takes over the one that a killed or failed run left."""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import pickle
import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from penstock.channel.ring import CONTROL_BYTES, create_ring
from penstock.dead_letters import store_dir
from penstock.engine import forks, rundir
from penstock.engine.idle_runs import settle_idle_runs
from penstock.engine.left_files import make_caller_bell, make_shared, make_slot, require_whole
from penstock.engine.rundir import Manifest
from penstock.engine.shipping import modules_named, ship
from penstock.engine.targets_down import once_it_is_there
from penstock.engine.worker_output import log_level
from penstock.errors import (
    AlreadyRunning,
    FileUnusable,
    LayoutChanged,
    NoRunDirectory,
    NotPrivate,
    QueueDamaged,
    TooFewDescriptors,
)
from penstock.metrics import layout, text
from penstock.metrics.layout import EdgeLayout, Layout, StageLayout
from penstock.operators.map_batches import MapBatches
from penstock.plan.fingerprint import ARGUMENTS, difference, fingerprint
from penstock.plan.paths import RunPaths
from penstock.plan.plan import EdgePlan, Plan, StagePlan
from penstock.private_files import is_ours, replace_own, require_safe_place
from penstock.program import Program, current_program
from penstock.run_files import read_checked, write_checked
from penstock.slot.assembly import first_record, receivers_of, senders_of
from penstock.slot.journal import create_journal
from penstock.slot.life import Crash
from penstock.standard_streams import fill_gaps
from penstock.state_dir import default_state_dir, passed_over, resolve_state_dir
from penstock.supervisor import claims, descriptors
from penstock.supervisor.cleanup import remove_run_dir
from penstock.supervisor.leftover import fetch, reserve
from penstock.supervisor.protocol import RunSpec, SeatSpec, StageSpec
from penstock.supervisor.stragglers import kill_stragglers
from penstock.terminal_text import visible

log = logging.getLogger("penstock.engine")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ENDING_S = 60.0
_LOOK_S = 0.02
_SLOT_BYTES = 64 * 1024
"""About what the small files of one slot take."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A run directory that is ready for its supervisor, and its lock."""

    paths: RunPaths
    plan: Plan
    program: Program
    run_id: str
    lock_fd: int
    claims: list[int]
    """Descriptors that hold the claims on what is written to."""
    dead_letters: Path
    """The run's folder of dead letters; it is made for the first one."""
    taken_over: bool


def deploy(
    plan: Plan, *, fresh: bool, run_dir: Path | str | None, state_dir: Path | str | None,
    crashes: Mapping[str, tuple[Crash, ...]] | None = None, signals: Sequence[int] = (),
) -> Deployment:
    """Make everything that workers will find, or take over what is there. `signals`: see `_Order`.

    Raises `AlreadyRunning`, `LayoutChanged`, `OutputExists`, `NoRunDirectory`, `NotPrivate`, `QueueDamaged`,
    `FileUnusable`.
    """
    fill_gaps()
    _require_descriptors(plan)
    program = current_program()
    state, usual = _state_dir(state_dir), rundir.named(run_dir) is None
    name = rundir.folder_name(plan.pipeline, program.cwd)
    order = _Order(plan, program, fresh, state, crashes or {}, usual, _left_to(run_dir, name), signals)
    path, *others = [parent / name for parent in rundir.parents(run_dir, state)]
    looks = [parent / name for parent in rundir.places(run_dir, state)]
    if usual:
        settle_idle_runs(but=path)
    while True:
        try:
            return _deploy_in(path, order, [place for place in looks if place != path])
        except _NoRoom as exc:
            if not others:
                raise NoRunDirectory(path.parent, str(exc)) from exc
            others = others[-1:]
            log.warning(
                "%s has %s, so the run directory goes to %s, which is slower; give it more room, or choose a place "
                "with --run-dir", path.parent.parent, exc, others[0].parent,
            )
        except NotPrivate as exc:
            if not others:
                raise NoRunDirectory(exc.path, exc.why) from exc
            log.warning(
                "%s %s, so the run directory goes to %s; look at what is there and remove it, or choose a place with "
                "--run-dir", exc.path, exc.why, others[0].parent,
            )
        path, *others = others


def _state_dir(state_dir: Path | str | None) -> Path:
    """Where dead letters go. Raises `NotPrivate` for a place that the user named; of the usual ones, takes the next."""
    place = resolve_state_dir(state_dir)
    require_safe_place(place)
    passed = passed_over()
    if place == default_state_dir() and passed is not None:
        log.warning("%s %s, so dead letters go to %s; choose a place with --state-dir", passed.path, passed.why, place)
    return place


@dataclass(frozen=True, slots=True)
class _Order:
    """What shall run, and how."""

    plan: Plan
    program: Program
    fresh: bool
    state_dir: Path
    crashes: Mapping[str, tuple[Crash, ...]]
    in_own_place: bool
    """True: the user named no place, and the folder above shall be ours alone."""
    left_to: Path | None
    signals: Sequence[int] = ()
    """Those heard so far, where the caller only notes them."""


def _left_to(run_dir: Path | str | None, name: str) -> Path | None:
    folder = rundir.left_to(run_dir)
    return None if folder is None else folder / name


def _deploy_in(path: Path, order: _Order, others: Sequence[Path]) -> Deployment:
    """In this place; what was left in `others`, where runs of this pipeline may lie too, is fetched or discarded."""
    lock_fd = _lock_in(path, order)
    made, held = False, _Held(lock_fd, [])
    try:
        left = None if order.fresh else rundir.read_manifest(path)
        elsewhere = [place for place in others if _was_left_in(place)]
        if left is None and elsewhere and not order.fresh:
            made = True
            found = _fetch(elsewhere[0], path, order)
            if found is not None:
                remove_run_dir(path)
                forks.close(lock_fd)
                return found
            left = rundir.read_manifest(path)
        made = made or left is None
        _discard_doubles(elsewhere, order, left)
        if left is not None:
            return _take_over(order, path, held, left)
        return _make(order, path, held)
    except BaseException:
        for fd in held.claims:
            forks.close(fd)
        if made and not RunPaths(path).manifest.exists():
            remove_run_dir(path)
        forks.close(lock_fd)
        raise


def _was_left_in(place: Path) -> bool:
    return is_ours(place) and rundir.is_there(RunPaths(place).manifest, RunPaths(place).phase)


def _lock_in(path: Path, order: _Order) -> int:
    try:
        return forks.close_in_children(_lock(path, in_own_place=order.in_own_place))
    except OSError as exc:
        if exc.errno in _FULL and not RunPaths(path).manifest.exists():
            remove_run_dir(path)
            raise _NoRoom(f"no room at all ({exc.strerror})") from exc
        raise NoRunDirectory(Path(exc.filename or path), f"it cannot be made ({exc.strerror})") from exc


def _fetch(left: Path, path: Path, order: _Order) -> Deployment | None:
    """Copy what was left to where it runs best. Where that has no room it goes on where it lies: its deployment."""
    lock_fd = forks.close_in_children(_lock(left, in_own_place=order.in_own_place))
    held = _Held(lock_fd, [])
    try:
        manifest = rundir.read_manifest(left)
        if manifest is not None:
            _require_same(order, left, manifest)
            try:
                _empty(path)
                _require_room(path, _bytes_needed(order.plan))
                fetch(left, path)
                _write_manifest(RunPaths(path), msgspec.structs.replace(manifest, boot_id=rundir.boot_id()))
            except (_NoRoom, OSError) as exc:
                if isinstance(exc, OSError) and exc.errno not in _FULL:
                    raise FileUnusable(exc.filename or left, "what an earlier run left", exc) from exc
                return _take_over(order, left, held, manifest)
    except BaseException:
        for fd in (*held.claims, lock_fd):
            forks.close(fd)
        raise
    forks.close(lock_fd)
    return None


def _discard_doubles(elsewhere: Sequence[Path], order: _Order, left: Manifest | None) -> None:
    """One run is in one place: what was copied here goes there, and all goes where the run starts afresh."""
    for place in elsewhere:
        lock_fd = forks.close_in_children(_lock(place, in_own_place=order.in_own_place))
        try:
            if left is None or _run_id_in(place) in (left.run_id, None):
                remove_run_dir(place)
        finally:
            forks.close(lock_fd)


def _run_id_in(place: Path) -> str | None:
    try:
        manifest = rundir.read_manifest(place)
    except (QueueDamaged, FileUnusable):
        return ""
    return None if manifest is None else manifest.run_id


@dataclass(frozen=True, slots=True)
class _Held:
    """Descriptors of locks: of the run directory, and of what is written to."""

    lock_fd: int
    claims: list[int]

    def claim(self, path: Path, plan: Plan) -> None:
        """Claim what the sinks write to. Raises `TargetInUse`."""
        targets = [target for stage in plan.stages.values() if stage.sink is not None for target in stage.sink.claims]
        self.claims.extend(map(forks.close_in_children, claims.take(path, plan.pipeline, targets)))


def _lock(path: Path, *, in_own_place: bool) -> int:
    """The lock of a run directory. A run that is ending already, its caller dead or served, is waited for."""
    deadline = time.monotonic() + _ENDING_S
    while True:
        try:
            return rundir.lock_run_dir(path, in_own_place=in_own_place)
        except AlreadyRunning as running:
            if running.pid == os.getpid():
                raise
            if rundir.read_phase(path) not in ("left", "ended", "failed") or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_S)


def _bytes_needed(plan: Plan) -> int:
    queues = sum(len(pairs) * (edge.channel_bytes + CONTROL_BYTES) for edge, pairs in _channels(plan))
    slots = sum(stage.settings.workers for stage in plan.stages.values())
    return queues + slots * _SLOT_BYTES


class _NoRoom(Exception):
    """A place is too small; how much it lacks."""


def _require_room(path: Path, needed: int) -> None:
    """`_NoRoom` before anything is made, where there is less than what is needed and a little more."""
    place = os.statvfs(path)
    free = place.f_bavail * place.f_frsize
    if free < needed * 1.25:
        raise _NoRoom(f"{text.size(free)} of room, and this pipeline's queues need {text.size(needed * 1.25)}")


def _require_descriptors(plan: Plan) -> None:
    """Raises `TooFewDescriptors` before anything is made."""
    near: defaultdict[tuple[str, int], set[tuple[str, int]]] = defaultdict(set)
    for edge, pairs in _channels(plan):
        for sender, receiver in pairs:
            near[edge.sender, sender].add((edge.receiver, receiver))
            near[edge.receiver, receiver].add((edge.sender, sender))
    needed = descriptors.needed(
        descriptors.SlotNeeds(len(stages), len(set().union(*(near[stage.name, slot] for stage in stages))))
        for stages in plan.seats().values() if not stages[0].caller
        for slot in range(stages[0].settings.workers)
    )
    if needed > descriptors.allowed():
        raise TooFewDescriptors(needed, descriptors.allowed())
    read_here = sum(len(pairs) for edge, pairs in _channels(plan) if plan.stages[edge.receiver].caller)
    pages = sum(stage.settings.workers for stage in plan.stages.values())
    descriptors.make_room(descriptors.CALLER + pages + descriptors.PER_CALLER_QUEUE * read_here)


def _channels(plan: Plan) -> list[tuple[EdgePlan, list[tuple[int, int]]]]:
    return [
        (edge, edge.channels(plan.stages[edge.sender].settings.workers, plan.stages[edge.receiver].settings.workers))
        for edge in plan.edges
    ]


# A fresh run.


def _make(order: _Order, path: Path, held: _Held) -> Deployment:
    before = claims.noted(path)
    _empty(path)
    claims.forget(path, before)
    held.claim(path, order.plan)
    _require_room(path, _bytes_needed(order.plan))
    plan = _ask_endpoints(order.plan, order.signals)
    try:
        run_id = _write_files(order, plan, RunPaths(path))
    except (OSError, FileUnusable) as exc:
        if exc.errno in _FULL:  # somebody else was faster
            raise _NoRoom(f"too little room for {text.size(_bytes_needed(plan))} of queues") from exc
        raise NoRunDirectory(path, f"it cannot be filled ({exc.strerror})") from exc
    return Deployment(
        RunPaths(path), plan, order.program, run_id, held.lock_fd, held.claims,
        _dead_letters(plan, run_id, order.state_dir), taken_over=False,
    )


def _once_it_is_there(ask: Callable[[], None], stage: StagePlan, signals: Sequence[int]) -> None:
    once_it_is_there(ask, stage.name, unavailable_for_s=stage.settings.unavailable_for_s, signals=signals)


def _ask_endpoints(plan: Plan, signals: Sequence[int]) -> Plan:
    """Sinks refuse or prepare their targets; the plan with the splits of its sources."""
    sinks = [(stage, stage.sink) for stage in plan.stages.values() if stage.sink is not None]
    for stage, sink in sinks:
        _once_it_is_there(sink.refuse, stage, signals)
    for stage, sink in sinks:
        try:
            _once_it_is_there(sink.prepare, stage, signals)
        except OSError as exc:
            raise FileUnusable(exc.filename or sink.target, "what shall be written to", exc) from exc
    splits = {}
    for name, stage in plan.stages.items():
        if stage.source is not None:
            try:
                splits[name] = dict(stage.source.splits())
            except OSError as exc:
                raise FileUnusable(exc.filename or name, "what shall be read", exc) from exc
    return with_splits(plan, splits)


def _write_files(order: _Order, plan: Plan, paths: RunPaths) -> str:
    """Fill an empty run directory; the run's id."""
    state_dir = order.state_dir
    _make_files(plan, paths)
    now = time.time()
    run_id = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + "-" + uuid.uuid4().hex[:6]
    _write_program(order, plan, paths, run_id, state_dir)
    splits = msgspec.msgpack.encode({n: s.splits for n, s in plan.stages.items() if s.source})
    write_checked(paths.splits, "the list of splits", splits)
    replace_own(paths.layout, layout.encode(_layout(plan, paths, now)))
    manifest = Manifest(
        plan.pipeline, str(os.getuid()), order.program.cwd, run_id, now, rundir.boot_id(),
        fingerprint(plan, order.program.arguments), str(state_dir),
    )
    replace_own(paths.phase, b"starting")
    _write_manifest(paths, manifest)
    return run_id


def _write_manifest(paths: RunPaths, manifest: Manifest) -> None:
    replace_own(paths.manifest, rundir.encode_manifest(manifest))


def _empty(path: Path) -> None:
    """Discard what an earlier run left, but for the lock, which is ours."""
    paths = RunPaths(path)
    lock = paths.lock
    # The manifest goes first: without it nobody takes the rest for something whole. The phase before it, for without
    # a manifest it tells of a run that was up; the layout behind it, for those who look.
    for first in (paths.phase, paths.manifest, paths.layout):
        first.unlink(missing_ok=True)
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != lock:
            entry.unlink()


def _make_files(plan: Plan, paths: RunPaths) -> None:
    for folder in (paths.root / "queues", paths.root / "slots"):
        folder.mkdir(mode=0o700)
    make_shared(paths)
    for edge, pairs in _channels(plan):
        for sender, receiver in pairs:
            create_ring(paths.queue(edge, sender, receiver), edge.channel_bytes)
    for seat, stages in plan.seats().items():
        for slot in range(stages[0].settings.workers):
            record = first_record(plan, stages, slot)
            if stages[0].caller:
                paths.caller_journal.parent.mkdir(mode=0o700)
                create_journal(paths.caller_journal, record)
                make_caller_bell(paths)
            else:
                files = paths.seat(seat, slot)
                files.folder.mkdir(mode=0o700)
                create_journal(files.journal, record)
                make_slot(files, [paths.page(plan, stage.name, slot) for stage in stages])


# Taking over.


def _require_same(order: _Order, path: Path, left: Manifest) -> None:
    """Raises `LayoutChanged` or `QueueDamaged` for what this run cannot go on with."""
    if left.boot_id != rundir.boot_id() and not RunPaths(path).settled.exists():
        # Queues live in the page cache: after a crash of the machine nobody knows which pages reached the disk.
        raise QueueDamaged(path, "the machine was started anew since these queues were written; parts may be missing")
    changes = difference(_of_the_plan(left.fingerprint), _of_the_plan(fingerprint(order.plan)))
    if changes:
        raise LayoutChanged(changes)


def _of_the_plan(prints: Mapping[str, str]) -> dict[str, str]:
    """Without the arguments, which may change: that is told, and not refused."""
    return {name: found for name, found in prints.items() if name != ARGUMENTS}


def _wake(path: Path, left: Manifest) -> None:
    """From here on it is written to again, and a crash of the machine would spoil it."""
    paths = RunPaths(path)
    try:
        reserve(path)
        if left.boot_id != rundir.boot_id():
            _write_manifest(paths, msgspec.structs.replace(left, boot_id=rundir.boot_id()))
        paths.settled.unlink(missing_ok=True)
    except OSError as exc:
        raise FileUnusable(exc.filename or path, "what an earlier run left", exc) from exc


def _take_over(order: _Order, path: Path, held: _Held, left: Manifest) -> Deployment:
    """Go on with the queues as they stand, with the code as it is now."""
    paths = RunPaths(path)
    _require_same(order, path, left)
    held.claim(path, order.plan)
    _wake(path, left)
    plan = with_splits(order.plan, _frozen_splits(paths.splits))
    killed = kill_stragglers(left.run_id)
    if killed:
        log.warning("%s processes that workers of the last run had started lived on, and were killed", killed)
    require_whole(plan, paths)
    _make_anew(plan, paths, left)
    _write_program(order, plan, paths, left.run_id, Path(left.state_dir))
    _tell_of_take_over(order, path, left)
    return Deployment(
        paths, plan, order.program, left.run_id, held.lock_fd, held.claims,
        _dead_letters(plan, left.run_id, Path(left.state_dir)), taken_over=True,
    )


def _tell_of_take_over(order: _Order, path: Path, left: Manifest) -> None:
    given = left.fingerprint.get(ARGUMENTS, "")
    gives = fingerprint(order.plan, order.program.arguments)[ARGUMENTS]
    other = "" if given == gives else f", though its arguments were {given} and are {gives} now"
    log.warning(
        "%s goes on with what the run of %s left in %s%s (`--fresh`, fresh=True starts over)", order.plan.pipeline,
        time.ctime(left.started_s), path, visible(other),
    )


def _frozen_splits(path: Path) -> dict[str, dict[str, Any]]:
    data = read_checked(path, "the list of splits")
    try:
        return msgspec.msgpack.decode(data, type=dict[str, dict[str, Any]])
    except msgspec.MsgspecError as exc:
        raise QueueDamaged(path, f"the list of splits cannot be read ({exc})") from exc


def _make_anew(plan: Plan, paths: RunPaths, left: Manifest) -> None:
    """What no row depends on: whatever became of it, it is as at the start."""
    try:
        make_shared(paths)
        replace_own(paths.layout, layout.encode(_layout(plan, paths, left.started_s)))
        for seat, stages in plan.seats().items():
            for slot in range(stages[0].settings.workers):
                if stages[0].caller:
                    make_caller_bell(paths)
                else:
                    pages = [paths.page(plan, stage.name, slot) for stage in stages]
                    make_slot(paths.seat(seat, slot), pages)
    except OSError as exc:
        raise FileUnusable(exc.filename or paths.root, "the run directory", exc) from exc


def with_splits(plan: Plan, splits: Mapping[str, Mapping[str, Any]]) -> Plan:
    """The plan with its sources' splits frozen."""
    stages = {
        name: replace(stage, splits=splits[name]) if name in splits else stage for name, stage in plan.stages.items()
    }
    return replace(plan, stages=stages)


# What supervisor and workers are told.


def _write_program(order: _Order, plan: Plan, paths: RunPaths, run_id: str, state_dir: Path) -> None:
    program = order.program
    pickled = ship(plan, program)
    write_checked(paths.program, "the plan", pickled)
    spec = RunSpec(
        pipeline=plan.pipeline, run_id=run_id, dead_letters=str(_dead_letters(plan, run_id, state_dir)),
        seats=tuple(_seat_specs(plan, paths, order.crashes)),
        stages=tuple(_stage_spec(plan, stage, paths) for stage in plan.stages.values() if not stage.caller),
        queues=tuple(_relative(paths, paths.queue(edge, s, r)) for edge, pairs in _channels(plan) for s, r in pairs),
        caller_queues=tuple(
            _relative(paths, paths.queue(edge, s, r)) for edge, pairs in _channels(plan) for s, r in pairs
            if plan.stages[edge.receiver].caller
        ),
        left_to=str(order.left_to) if order.left_to not in (None, paths.root) else None,
        program=pickle.dumps(program), preload=_preload(plan, pickled), log_level=log_level(),
        drains_to_finish=not plan.bounded,
    )
    write_checked(paths.spec, "what the supervisor is told", msgspec.msgpack.encode(spec))


def _dead_letters(plan: Plan, run_id: str, state_dir: Path) -> Path:
    return store_dir(state_dir) / plan.pipeline / run_id


def _seat_specs(plan: Plan, paths: RunPaths, crashes: Mapping[str, tuple[Crash, ...]]) -> list[SeatSpec]:
    specs = []
    for seat, stages in plan.seats().items():
        if stages[0].caller:
            continue
        settings = [stage.settings for stage in stages]
        timeouts = [s.settings.timeout_s for s in stages if s.settings.timeout_s is not None]
        strictest = min((s.max_restarts for s in settings), key=lambda rate: rate[0] / rate[1])
        for slot in range(settings[0].workers):
            specs.append(SeatSpec(
                seat, slot, tuple(stage.name for stage in stages), min(timeouts, default=None), strictest,
                any(node.operator.batch for stage in stages for node in stage.nodes) or any(s.sink for s in stages),
                tuple(_bells(plan, paths, stages, slot, senders=True)),
                tuple(_bells(plan, paths, stages, slot, senders=False)),
                tuple(crash for stage in stages for crash in crashes.get(stage.name, ())),
                min(s.unavailable_for_s for s in settings),
            ))
    return specs


def _bells(plan: Plan, paths: RunPaths, stages: tuple[StagePlan, ...], slot: int, *, senders: bool) -> list[str]:
    found: dict[str, None] = {}
    for stage in stages:
        if senders:
            near = [(e.sender, other) for e in plan.inputs(stage.name) for other in senders_of(plan, e, slot)]
        else:
            edges = [plan.edge(out.edge) for out in stage.outputs]
            near = [(e.receiver, other) for e in edges for other in receivers_of(plan, e, slot)]
        found |= {_relative(paths, paths.bell(plan, name, other)): None for name, other in near}
    return list(found)


def _stage_spec(plan: Plan, stage: StagePlan, paths: RunPaths) -> StageSpec:
    slots = range(stage.settings.workers)
    return StageSpec(
        stage.name,
        tuple(_relative(paths, paths.page(plan, stage.name, slot)) for slot in slots),
        gives_up=stage.settings.on_error.give_up_after is not None,
    )


def _preload(plan: Plan, pickled: bytes) -> tuple[str, ...]:
    names = set(modules_named(pickled))
    for stage in plan.stages.values():
        for endpoint in (stage.source, stage.sink):
            names.update(endpoint.modules if endpoint is not None else ())
        for node in stage.nodes:
            if isinstance(node.operator, MapBatches):
                names.update(("pyarrow", node.operator.library.partition(".")[0]))
                if importlib.util.find_spec("pandas"):
                    names.add("pandas")  # pyarrow looks for it when it makes its first array: 0.2 s in every life
    return tuple(sorted(names))


def _layout(plan: Plan, paths: RunPaths, started_s: float) -> Layout:
    stages = [
        StageLayout(
            stage.name, stage.seat, stage.settings.workers,
            [] if stage.caller else [
                _relative(paths, paths.page(plan, stage.name, slot)) for slot in range(stage.settings.workers)
            ],
            None if stage.source is None else stage.source.rows, stage.caller,
        )
        for stage in plan.stages.values()
    ]
    edges = [
        EdgeLayout(
            edge.name, edge.sender, edge.receiver, len(pairs) * edge.channel_bytes,
            [_relative(paths, paths.queue(edge, s, r)) for s, r in pairs],
        )
        for edge, pairs in _channels(plan)
    ]
    return Layout(plan.pipeline, started_s, stages, edges)


def _relative(paths: RunPaths, path: Path) -> str:
    return str(path.relative_to(paths.root))
