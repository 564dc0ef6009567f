"""The rows that wait in the slots that a run has from now on, and the state of their keys.

Rows that wait belong to the slot that owns their key; those without one to the slot whose number is that of their old
one modulo the new number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.channel.router import group_of_key
from penstock.checkpoints.earlier_run import EarlierRun
from penstock.checkpoints.regrouped_rows import RowsUnreadable
from penstock.ctrl_c import is_ctrl_c
from penstock.operators.field_key import field_getter
from penstock.operators.joined.right_row import RightRow
from penstock.plan.paths import RunPaths
from penstock.plan.plan import EdgePlan, Route
from penstock.plan.topology import Slot, Topology
from penstock.slot.records.committed_log import bodies_in
from penstock.slot.records.record import STATE, Record
from penstock.slot.records.retries import RETRIES, WaitingRow, generation_path, waiting_in
from penstock.slot.state.changelog import segment_path, segments_of
from penstock.slot.state.regroup import regrouped, taken_from

_IN_RUN = RunPaths(Path())


class Waiting:
    """The rows that wait for a retry, or for a verdict, by the stage that they are for and the slot they belong to."""

    def __init__(self, topology: Topology, earlier: EarlierRun) -> None:
        """Raises `RowsUnreadable`, `CheckpointDamaged`, `StoreUnavailable`."""
        self._topology = topology
        self.generation = 0
        """The highest there was."""
        self._rows: dict[tuple[str, int], list[WaitingRow]] = {}
        for slot in earlier.shape.slots:
            for row in self._waiting_in(earlier, slot.group, slot.number, earlier.records[slot.group, slot.number]):
                self._add(slot.stages[row.stage], slot.number, row)

    def rows(self, slot: Slot) -> list[WaitingRow]:
        """Those of a slot."""
        return [
            replace(row, stage=place)
            for place, stage in enumerate(slot.stages) for row in self._rows.get((stage.name, slot.number), ())
        ]

    def count(self, stage: str) -> int:
        """How many wait there."""
        return sum(len(rows) for (name, _), rows in self._rows.items() if name == stage)

    def _waiting_in(self, earlier: EarlierRun, group: str, number: int, record: Record) -> list[WaitingRow]:
        generation, length = record.logs.get(RETRIES) or (0, 0)
        self.generation = max(self.generation, generation)
        if not length:
            return []
        try:
            return waiting_in(earlier.log(str(generation_path(_IN_RUN.slot(group, number).retries, generation))))
        except (ValueError, KeyError) as exc:
            raise earlier.damaged(f"the waiting retries of {group}/{number}: {exc}") from exc

    def _add(self, stage: str, number: int, row: WaitingRow) -> None:
        plan = self._topology.plan
        slot = number
        if stage in plan.stages:
            workers = self._topology.workers(stage)
            keyed = [edge for edge in plan.inputs(stage) if edge.route is Route.HASH]
            slot = self._owner(stage, keyed, row) if keyed and workers > 1 else number % workers
        self._rows.setdefault((stage, slot), []).append(row)

    def _owner(self, stage: str, keyed: list[EdgePlan], row: WaitingRow) -> int:
        try:
            key = _key(keyed, row.load())
            return self._topology.membership.tables[stage][group_of_key(key)]
        except BaseException as exc:  # code of the row's class, and the user's key function, be it an exit or a panic
            if is_ctrl_c(exc):
                raise
            what = f"the key of a row that waits for a retry in stage {stage} cannot be computed"
            raise RowsUnreadable(f"{what}: {exc!r}") from exc


def _key(keyed: list[EdgePlan], row: Any) -> Any:
    right = isinstance(row, RightRow)
    edge = next(edge for edge in keyed if edge.is_right is right)
    key = field_getter(edge.key) if isinstance(edge.key, str) else edge.key
    assert key is not None
    return key(row.row if right else row)


def new_state(topology: Topology, earlier: EarlierRun, slot: Slot) -> Iterator[bytes]:
    """The changelog of a slot, of one segment. Raises `CheckpointDamaged`, `StoreUnavailable`."""
    before, now = earlier.membership.tables, topology.membership.tables
    stage = next((stage.name for stage in slot.stages if stage.name in before and stage.name in now), None)
    if stage is None:
        return
    taken = taken_from(before[stage], now[stage], slot.number)
    # What a slot that was through with all of its input knows of its keys is of no use any more: nothing comes for
    # them, and what the end of the input gives was given.
    logs = [
        (_bodies(earlier, slot.group, number), groups) for number, groups in sorted(taken.items())
        if not earlier.stage(stage, number).finished
    ]
    try:
        yield from regrouped(logs)
    except (ValueError, msgspec.MsgspecError) as exc:
        raise earlier.damaged(f"the state of stage {stage}: {exc}") from exc


def _bodies(earlier: EarlierRun, group: str, number: int) -> Iterator[bytes]:
    numbers = earlier.records[group, number].logs.get(STATE)
    for segment, _ in segments_of(numbers) if numbers else ():
        yield from bodies_in(earlier.log(str(segment_path(_IN_RUN.slot(group, number).changelog, segment))))
