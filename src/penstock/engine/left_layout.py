"""A run that was left in another layout: it is made a checkpoint where positions are kept, and resumed from there.

The checkpoint is durable before the run directory is discarded, so whoever is killed in between has one of the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.checkpoints.cut import copy_ended
from penstock.checkpoints.positions import keep_positions
from penstock.checkpoints.this_run import ThisRun
from penstock.ctrl_c import is_ctrl_c
from penstock.dead_letter_store import letters_folder
from penstock.engine.deployment import Order
from penstock.engine.run_lock import Held
from penstock.engine.rundir import Manifest
from penstock.errors import FileUnusable, LayoutChanged, PenstockError, QueueDamaged
from penstock.operator import Context
from penstock.plan.changes import changes
from penstock.plan.membership import MEMBERSHIP_IS, Membership, decode_membership
from penstock.plan.paths import RunPaths
from penstock.plan.plan import StagePlan
from penstock.run_files import read_checked
from penstock.shared_file import by_calls
from penstock.sink import Sink, TransactionalWriter
from penstock.slot.output.sink_output import TransactionOutput
from penstock.slot.process.user_errors import one_line
from penstock.slot.records.journal import Journal
from penstock.slot.records.record import Record
from penstock.supervisor.stragglers import kill_stragglers


def keep_left(order: Order, path: Path, held: Held, left: Manifest, refused: LayoutChanged) -> None:
    """Keep what was left in `path`, for `resume`. `refused`: why it cannot be taken over as it is.

    Raises it where it cannot be resumed at all, `QueueDamaged`, `FileUnusable`, `TargetInUse`, `StoreUnavailable`.
    """
    if order.positions is None:  # who reads results has none
        raise refused
    paths = RunPaths(path)
    membership = decode_membership(read_checked(paths.membership, MEMBERSHIP_IS), paths.membership)
    try:
        found = changes(left.fingerprint, membership, order.plan)
    except ValueError as exc:
        raise QueueDamaged(paths.manifest, f"its layout cannot be read ({exc})") from exc
    if found.refused:
        raise LayoutChanged([*found.refused, *(line for line in refused.difference if line not in found.refused)])
    kill_stragglers(left.run_id)
    held.claim(path, order.plan)
    try:
        _settle(order, paths, left, membership)
    finally:
        held.disclaim()
    letters = letters_folder(left.state_dir, order.plan.pipeline, left.run_id)
    outputs = tuple(
        claim for stage in order.plan.stages.values() if stage.sink is not None for claim in stage.sink.claims
    )
    run = ThisRun(str(path), order.plan.pipeline, left.run_id, str(letters), dict(left.fingerprint), outputs)
    try:
        keep_positions(run, order.positions, copy_ended)
    except OSError as exc:
        raise FileUnusable(exc.filename or order.positions, "where positions are kept", exc) from exc


def _settle(order: Order, paths: RunPaths, left: Manifest, membership: Membership) -> None:
    """A worker may have been killed between its sink's transaction and the journal's flip: the transaction counts."""
    groups = order.plan.slot_groups()
    for group, stages in groups.items():
        workers = membership.slots.get(stages[0].name, 0)
        for number in range(workers):
            for stage in stages:
                # One that waits for checkpoints stores no records: what it says is looked at when it is opened.
                if stage.sink is not None and not stage.sink.waits_for_checkpoint:
                    context = Context(
                        pipeline=order.plan.pipeline, stage=stage.name, slot=number, workers=workers, attempt=0,
                        run_id=left.run_id,
                    )
                    _advance(paths.slot(group, number).journal, stage, stage.sink, context)


def _advance(path: Path, stage: StagePlan, sink: Sink[Any], context: Context) -> None:
    journal = Journal(path, by_calls)
    try:
        record = journal.load()
        newer = _stored(stage, sink, context, record)
        if newer is not None and newer.number > record.number:
            journal.advance(newer)
    finally:
        journal.close()


def _stored(stage: StagePlan, sink: Sink[Any], context: Context, record: Record) -> Record | None:
    """What the sink has stored of the slot; None: it stores no records."""
    # Only one that writes by position has a position, and stores none.
    if any(saved.sink_position is not None for saved in record.stages):
        return None
    try:
        writer = sink.writer(None, context)
        try:
            if not isinstance(writer, TransactionalWriter):
                return None
            return TransactionOutput(stage.name, sink.target, writer, None).record_of(context.run_id, record.lineage)
        finally:
            writer.close()
    except BaseException as exc:  # the sink's code, be it an exit or a panic
        if is_ctrl_c(exc):
            raise
        what = f"stage {stage.name!r}: {sink.target} cannot be asked how far it is"
        raise PenstockError(f"{what}: {one_line(exc)}") from exc
