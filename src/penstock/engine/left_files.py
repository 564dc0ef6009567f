"""The files of a run that hold no rows, made at the start and again at a take-over; and a check of those that do.

Bells, words and pipes are how the living speak to each other: what a killed run left in them means nothing, so that
no damage to them can matter. Queues and journals are resumed from, so they are checked before that.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from penstock.channel.bell import create_bell
from penstock.channel.queue_file import require_whole as require_whole_queue
from penstock.errors import QueueDamaged
from penstock.metrics.page import Page
from penstock.plan.paths import RunPaths, SlotPaths
from penstock.plan.topology import Topology
from penstock.shared_file import by_calls
from penstock.slot.process.failure_file import reserve
from penstock.slot.records.control import Control
from penstock.slot.records.durable_word import DurableWord, durable_number
from penstock.slot.records.journal import load_record
from penstock.slot.records.record import Record, first_record
from penstock.slot.records.work_page import WorkPage

log = logging.getLogger("penstock.engine")


# What holds no rows.


def make_shared(paths: RunPaths) -> None:
    """What all of a run share."""
    _remove(paths.lifeline, paths.control)
    if not paths.last_errors.is_dir():
        _remove(paths.last_errors)
        paths.last_errors.mkdir(mode=0o700)
    os.mkfifo(paths.lifeline, 0o600)
    Control.create(paths.control)


def make_slot(files: SlotPaths, pages: Sequence[Path], *, checkpointed: bool) -> None:
    """What a worker has beside its journal. Pages stay where they can be read: their figures grow over restarts."""
    make_bell(files.bell)
    _remove(files.work, files.log, files.stdout, files.failure)
    if files.lock.is_dir():
        _remove(files.lock)
    WorkPage.create(files.work)
    os.mkfifo(files.log, 0o600)
    os.mkfifo(files.stdout, 0o600)
    reserve(files.failure)
    for page in pages:
        _make_page(page)
    if checkpointed:
        _make_durable_word(files.durable)


def make_caller_bell(paths: RunPaths) -> None:
    """What the calling process sleeps on, where it reads results."""
    make_bell(paths.caller_bell)


def make_bell(path: Path) -> None:
    _remove(path, path.with_name(path.name + ".asleep"))
    create_bell(path)


def _make_durable_word(path: Path) -> None:
    """What is durable stays so; where it cannot be read, the next checkpoint tells."""
    if path.exists():
        try:
            durable_number(path)
            return
        except QueueDamaged as damage:
            log.warning("%s; it is created again", damage.told)
    _remove(path)
    DurableWord.create(path)


def _make_page(path: Path) -> None:
    if path.exists():
        try:
            Page(path, by_calls, writable=True).close()
            return
        except QueueDamaged as damage:
            log.warning("%s; it is created again, so the status of this slot starts from zero", damage.told)
    _remove(path)
    Page.create(path)


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            import shutil  # as in `make_run`

            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


# What holds rows, or says where they are.


def require_whole(topology: Topology, paths: RunPaths) -> None:
    """Raises `QueueDamaged` or `FileUnusable` for a queue or a journal that nobody can resume from."""
    for slot in topology.slots():
        path = paths.caller_journal if slot.caller else paths.slot(slot.group, slot.number).journal
        if _shape(load_record(path)) != _shape(first_record(topology, slot)):
            raise QueueDamaged(path, "the journal belongs to another slot")
    for channel in topology.channels():
        require_whole_queue(paths.queue(channel.edge, channel.sender, channel.receiver))


def _shape(record: Record) -> list[tuple[set[str], set[str], set[str]]]:
    """Which queues each stage has: it stays as it was at the start."""
    return [(set(part.inputs), set(part.outputs), set(part.turns_in)) for part in record.stages]
