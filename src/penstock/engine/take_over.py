"""Taking over: a run resumes from the queues that a killed or failed one left, with the code as it is now."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.channel.ring_copy import unpin
from penstock.dead_letter_store import letters_folder
from penstock.engine import rundir
from penstock.engine.deployment import Deployment, Order
from penstock.engine.left_files import make_caller_bell, make_shared, make_slot, require_whole
from penstock.engine.run_lock import Held
from penstock.engine.run_spec import slot_files
from penstock.engine.rundir import Manifest
from penstock.engine.told_files import write_layout, write_manifest, write_program
from penstock.errors import FileUnusable, LayoutChanged, QueueDamaged
from penstock.plan.fingerprint import ARGUMENTS, difference, fingerprint
from penstock.plan.membership import MEMBERSHIP_IS, Membership, decode_membership, membership_changes
from penstock.plan.paths import RunPaths
from penstock.plan.topology import Topology, with_splits
from penstock.run_files import read_checked
from penstock.shared_file import by_calls
from penstock.supervisor.leftover import reserve
from penstock.supervisor.stragglers import kill_stragglers
from penstock.terminal_text import visible

log = logging.getLogger("penstock.engine")


def require_same(order: Order, path: Path, left: Manifest) -> Membership:
    """The slots of what was left. Raises `LayoutChanged` or `QueueDamaged` for what this run cannot resume from."""
    if rundir.is_lost(path, left):
        # Queues live in the page cache: after a crash of the machine nobody knows which pages reached the disk.
        raise QueueDamaged(path, "the machine was restarted after these queues were written; parts may be missing")
    membership = _membership(RunPaths(path).membership)
    changes = difference(_of_the_plan(left.fingerprint), _of_the_plan(fingerprint(order.plan)))
    changes = membership_changes(membership, order.plan) + changes
    if changes:
        raise LayoutChanged(changes)
    return membership


def take_over(order: Order, path: Path, held: Held, left: Manifest, *, restored: str = "") -> Deployment:
    """Resume from the queues as they are. Raises what `require_same` does, and `FileUnusable`.

    `restored`: the words for where they come from, if it is no run that was left here.
    """
    paths = RunPaths(path)
    membership = require_same(order, path, left)
    _kill_stragglers(left)  # before the supervisor starts, whose zygote bears their mark
    held.start_supervisor(path, left.run_id)
    held.claim(path, order.plan)
    _wake(path, left)
    topology = Topology(with_splits(order.plan, _frozen_splits(paths.splits)), membership)
    require_whole(topology, paths)
    resumed = restored or f"what the run of {time.ctime(left.started_s)} left in {path}"
    _make_anew(topology, paths, left, resumed, checkpointed=order.checkpoint is not None)
    state_dir = order.state_dir if restored else left.state_dir
    dead_letters = letters_folder(state_dir, order.plan.pipeline, left.run_id)
    write_program(order, topology, paths, left.run_id, dead_letters)
    _tell(order, left, resumed)
    return Deployment(
        paths, topology, order.program, left.run_id, held.lock_fd, held.claims, held.supervisor, dead_letters,
        order.moves_to(path), order.checkpoint, order.known_store,
    )


def _kill_stragglers(left: Manifest) -> None:
    killed = kill_stragglers(left.run_id)
    if killed:
        log.warning("killed %s processes that workers of the last run had started and that had outlived them", killed)


def _of_the_plan(prints: Mapping[str, str]) -> dict[str, str]:
    """Without the arguments, which may change: that is told, and not refused."""
    return {name: found for name, found in prints.items() if name != ARGUMENTS}


def _membership(path: Path) -> Membership:
    return decode_membership(read_checked(path, MEMBERSHIP_IS), path)


def _frozen_splits(path: Path) -> dict[str, dict[str, Any]]:
    data = read_checked(path, "the list of splits")
    try:
        return msgspec.msgpack.decode(data, type=dict[str, dict[str, Any]])
    except msgspec.MsgspecError as exc:
        raise QueueDamaged(path, f"the list of splits cannot be read ({exc})") from exc


def _wake(path: Path, left: Manifest) -> None:
    """From here on it is written to again, and a crash of the machine would spoil it."""
    paths = RunPaths(path)
    try:
        reserve(path)
        # The boot id before the mark goes. The other way round a kill in between would leave queues of another boot
        # without the mark, and those are refused.
        if left.boot_id != rundir.boot_id():
            write_manifest(paths, msgspec.structs.replace(left, boot_id=rundir.boot_id()))
        paths.settled.unlink(missing_ok=True)
    except OSError as exc:
        raise FileUnusable(exc.filename or path, "what an earlier run left", exc) from exc


def _make_anew(topology: Topology, paths: RunPaths, left: Manifest, resumed: str, *, checkpointed: bool) -> None:
    """What no row depends on: whatever became of it, it is as at the start."""
    for channel in topology.channels():  # pins of a checkpointer that died with its supervisor
        unpin(paths.queue(channel.edge, channel.sender, channel.receiver), by_calls)
    try:
        make_shared(paths)
        write_layout(topology, paths, left.started_s, resumed)
        for slot in slot_files(topology, paths):
            if slot.caller:
                make_caller_bell(paths)
            else:
                make_slot(paths.slot(slot.group, slot.number), slot.pages, checkpointed=checkpointed)
    except OSError as exc:
        raise FileUnusable(exc.filename or paths.root, "the run directory", exc) from exc


def _tell(order: Order, left: Manifest, what: str) -> None:
    given = left.fingerprint.get(ARGUMENTS, "")
    gives = fingerprint(order.plan, order.program.arguments)[ARGUMENTS]
    other = "" if given == gives else f", although its arguments were {given} and are now {gives}"
    log.warning(
        "%s resumes %s%s (`--fresh` or fresh=True starts over)", order.plan.pipeline, what, visible(other),
    )
