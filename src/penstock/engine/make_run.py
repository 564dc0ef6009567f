"""A fresh run: an empty run directory is filled, the manifest last."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from penstock.channel.queue_file import create_queue
from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letter_store import letters_folder
from penstock.engine import rundir
from penstock.engine.deployment import Deployment, Order
from penstock.engine.left_files import make_caller_bell, make_shared, make_slot
from penstock.engine.room import FULL, NoRoom, require_room
from penstock.engine.run_lock import Held
from penstock.engine.run_spec import bytes_needed, queue_files, slot_files
from penstock.engine.rundir import Manifest
from penstock.engine.targets_down import once_it_is_there
from penstock.engine.told_files import write_layout, write_manifest, write_program
from penstock.errors import FileUnusable, NoRunDirectory, PenstockError
from penstock.metrics import text
from penstock.plan.fingerprint import fingerprint
from penstock.plan.membership import MEMBERSHIP_IS, encode_membership
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan, StagePlan
from penstock.plan.topology import Topology, with_splits
from penstock.private_files import replace_own
from penstock.run_files import write_checked
from penstock.slot.process.user_errors import one_line, user_traceback
from penstock.slot.records.journal import create_journal
from penstock.supervisor import claims

T = TypeVar("T")


def make_run(order: Order, path: Path, held: Held, run_id: str) -> Deployment:
    """Discard what is there, and make all files of a run. Raises `NoRoom`, `NoRunDirectory`, and what endpoints do."""
    before = claims.noted(path)
    empty(path)
    claims.forget(path, before)
    held.claim(path, order.plan)
    needed = bytes_needed(Topology.first(order.plan))
    require_room(path, needed)
    topology = Topology.first(_ask_endpoints(order.plan, order.signals))
    dead_letters = letters_folder(order.state_dir, order.plan.pipeline, run_id)
    paths = RunPaths(path)
    try:
        _make_files(topology, paths, checkpointed=order.checkpoint is not None)
        _write_files(order, topology, paths, run_id, dead_letters)
    except (OSError, FileUnusable) as exc:
        if exc.errno in FULL:  # somebody else was faster
            raise NoRoom(f"too little room for {text.size(needed)} of queues") from exc
        raise NoRunDirectory(path, f"it cannot be filled ({exc.strerror})") from exc
    return Deployment(
        paths, topology, order.program, run_id, held.lock_fd, held.claims, held.supervisor, dead_letters,
        order.moves_to(path), order.checkpoint, order.known_store,
    )


def empty(path: Path) -> None:
    """Discard what an earlier run left, but for the lock, which is ours."""
    paths = RunPaths(path)
    # The manifest goes first: without it nobody takes the rest for something whole. The phase before it, for without
    # a manifest it tells of a run that was up; the layout behind it, for those who look.
    for first in (paths.phase, paths.manifest, paths.layout):
        first.unlink(missing_ok=True)
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            import shutil  # with its formats of archives; mostly there is nothing to discard

            shutil.rmtree(entry)
        elif entry != paths.lock:
            entry.unlink()


def _ask_endpoints(plan: Plan, signals: Sequence[int]) -> Plan:
    """Sinks refuse or prepare their targets; the plan with the splits of its sources."""
    prepare_sinks(plan, plan.stages, signals)
    return with_splits(plan, splits_of(plan, plan.stages))


def prepare_sinks(plan: Plan, stages: Iterable[str], signals: Sequence[int]) -> None:
    """The sinks of these stages refuse or prepare their targets, before anything is written to any of them."""
    sinks = [(stage, stage.sink) for stage in map(plan.stages.__getitem__, stages) if stage.sink is not None]
    for stage, sink in sinks:
        _once_it_is_there(_without_exits(sink.refuse, stage), stage, signals)
    for stage, sink in sinks:
        try:
            _once_it_is_there(_without_exits(sink.prepare, stage), stage, signals)
        except OSError as exc:
            raise FileUnusable(exc.filename or sink.target, "what shall be written to", exc) from exc


def splits_of(plan: Plan, stages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The splits of the sources of these stages."""
    splits = {}
    for stage in map(plan.stages.__getitem__, stages):
        if stage.source is not None:
            try:
                splits[stage.name] = dict(_without_exits(stage.source.splits, stage)())
            except OSError as exc:
                raise FileUnusable(exc.filename or stage.name, "what shall be read", exc) from exc
    return splits


def _without_exits(ask: Callable[[], T], stage: StagePlan) -> Callable[[], T]:
    """The method of an endpoint; an exit or a panic in it is an error of the stage, and does not end the caller."""

    def asked() -> T:
        try:
            return ask()
        except BaseException as exc:
            if isinstance(exc, Exception) or is_ctrl_c(exc):
                raise
            place, what = type(ask.__self__).__name__, ask.__name__  # type: ignore[attr-defined]
            raise PenstockError(
                f"stage {stage.name!r}: {place}.{what}() raised {one_line(exc)}\n{user_traceback(exc).rstrip()}"
            ) from exc

    return asked


def _once_it_is_there(ask: Callable[[], None], stage: StagePlan, signals: Sequence[int]) -> None:
    once_it_is_there(ask, stage.name, unavailable_for_s=stage.settings.unavailable_for_s, signals=signals)


def _make_files(topology: Topology, paths: RunPaths, *, checkpointed: bool) -> None:
    for folder in (paths.root / "queues", paths.root / "slots"):
        folder.mkdir(mode=0o700)
    make_shared(paths)
    for queue in queue_files(topology, paths):
        create_queue(queue.path, queue.capacity)
    for slot in slot_files(topology, paths):
        slot.journal.parent.mkdir(mode=0o700)
        create_journal(slot.journal, slot.record)
        if slot.caller:
            make_caller_bell(paths)
        else:
            make_slot(paths.slot(slot.group, slot.number), slot.pages, checkpointed=checkpointed)


def _write_files(order: Order, topology: Topology, paths: RunPaths, run_id: str, dead_letters: Path) -> None:
    plan, now = topology.plan, time.time()
    write_program(order, topology, paths, run_id, dead_letters)
    splits = msgspec.msgpack.encode({n: s.splits for n, s in plan.stages.items() if s.source})
    write_checked(paths.splits, "the list of splits", splits)
    write_checked(paths.membership, MEMBERSHIP_IS, encode_membership(topology.membership))
    write_layout(topology, paths, now)
    manifest = Manifest(
        plan.pipeline, str(os.getuid()), order.program.cwd, run_id, now, rundir.boot_id(),
        fingerprint(plan, order.program.arguments), str(order.state_dir),
    )
    replace_own(paths.phase, b"starting")
    write_manifest(paths, manifest)
