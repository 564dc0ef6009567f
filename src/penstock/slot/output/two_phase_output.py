"""A sink that waits for checkpoints, for a target that prepares transactions, and commits them when it is told to.

Such a target keeps no note beside the rows, but it keeps what it has prepared. So rows are prepared under a token, a
commit of the slot records the token, and once a checkpoint with that record is durable, the target is told to commit.
Whoever comes next (the successor of a killed worker, a run that was restored) asks for what is pending: what its record
knows was meant to be committed, or was already if it is pending no more; anything else is aborted.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from penstock.operator import Context
from penstock.sink import RowsRejected, Sink, TwoPhaseWriter
from penstock.slot.input.batches import batch_without
from penstock.slot.output.epoch_output import EpochOutput, Place
from penstock.slot.output.sink_output import Refused
from penstock.slot.process.forks import leave_if_child_by
from penstock.slot.records.record import Counts, EpochRecord


class TwoPhaseOutput(EpochOutput):
    """Spools what is written, prepares what is committed, and has committed what is durable."""

    def __init__(self, sink: Sink[Any], writer: TwoPhaseWriter[Any], place: Place, context: Context) -> None:
        super().__init__(sink, writer, place, context)
        self._two_phase = writer
        self._prefix = f"penstock/{context.pipeline}/{context.stage}/{context.slot}/{place.run_id}/"
        self._made: list[tuple[str, int]] = []
        """Prepared since the last commit of the stage, which is to record it."""
        self._recorded: dict[str, int] = {}
        """By token: the number of the commit that recorded it."""
        self._reached = 0
        """The place behind all rows that are committed."""
        self._rows_number = 0
        """The commit that made the newest of them count."""

    def _read_note(self, epoch: EpochRecord) -> None:
        """Abort what no record speaks of; what is pending no more was committed by an earlier life."""
        pending = set(self._ask("pending", self._two_phase.pending))
        known = {token for token, _ in epoch.prepared}
        for token in sorted(pending - known):
            if token.startswith(self._prefix):
                self._ask("abort", lambda token=token: self._two_phase.abort(token))  # type: ignore[misc]
        while epoch.prepared and epoch.prepared[0][0] not in pending:
            epoch.applied = epoch.prepared.pop(0)[1]

    def prepare(self, counts: Counts) -> list[Refused]:
        """What was prepared goes into the record, together with the letters of rows that were refused."""
        epoch = self.epoch
        assert epoch is not None
        epoch.prepared += self._made
        self._made = []
        refused = super().prepare(counts)
        epoch.refused = []  # each is left out of a transaction that the same record speaks of
        return refused

    def committed(self, number: int) -> None:
        super().committed(number)
        epoch = self.epoch
        assert epoch is not None
        self._refused_since = 0
        self.wants_commit = bool(self._made)
        for token, _ in epoch.prepared:
            self._recorded.setdefault(token, number)
        if epoch.length > self._reached:
            self._reached, self._rows_number = epoch.length, number

    def durable(self, number: int) -> None:
        epoch = self.epoch
        assert epoch is not None
        while epoch.prepared and self._recorded[epoch.prepared[0][0]] <= number:
            token, end = epoch.prepared[0]
            self._place.crash.reached("before_sink_commit", self._rows_in)
            self._ask("commit", lambda token=token: self._two_phase.commit(token))  # type: ignore[misc]
            self._place.crash.reached("after_sink_commit", self._rows_in)
            del epoch.prepared[0], self._recorded[token]
            epoch.applied = end
            self.wants_commit = True
        if not epoch.prepared and not self._made:
            self._covered, end = self._reached, epoch.applied
            while end < self._reached:
                end = self._prepare_from(epoch, end)

    @property
    def awaits(self) -> int:
        epoch = self.epoch
        assert epoch is not None
        if self._made:
            return self._last + 1
        if epoch.prepared:
            return max(self._recorded.values())
        return self._rows_number if self._reached > epoch.applied else 0

    def _prepare_from(self, epoch: EpochRecord, begin: int) -> int:
        """Prepare rows from a place on; the place behind them. Rows that the target refuses are left out."""
        self._place.crash.reached("before_apply", self._rows_in)
        given, end, _ = self._read(EpochRecord(applied=begin))
        token = f"{self._prefix}{begin}/{uuid.uuid4().hex}"
        while (given := self._prepared(token, given)):
            pass
        self._made.append((token, end))
        self.wants_commit = True
        return end

    def _prepared(self, token: str, given: Sequence[tuple[Any, list[int]]]) -> list[tuple[Any, list[int]]]:
        """What is to be tried again, without the rows that were refused; empty: it is prepared."""
        left = []
        for batch, numbers in given:
            left.append(self._written(batch, numbers))
        try:
            self._two_phase.prepare(token)
        except RowsRejected as rejected:
            self._require_rows("prepare", rejected, sum(len(numbers) for _, numbers in left))
            return self._without(left, rejected)
        except BaseException as exc:  # the sink's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise self._trouble("prepare", exc) from exc
        return []

    def _written(self, batch: Any, numbers: list[int]) -> tuple[Any, list[int]]:
        """Write a batch; what of it was written."""
        refused = self._written_but(batch, numbers)
        if not refused:
            return batch, numbers
        return batch_without(batch, refused), [n for index, n in enumerate(numbers) if index not in refused]

    def _without(
        self, written: Sequence[tuple[Any, list[int]]], rejected: RowsRejected
    ) -> list[tuple[Any, list[int]]]:
        left, first = [], 0
        for batch, numbers in written:
            mine = {i - first: why for i, why in rejected.reasons.items() if first <= i < first + len(numbers)}
            self._refuse_all(batch, numbers, mine)
            first += len(numbers)
            kept = [n for index, n in enumerate(numbers) if index not in mine]
            if kept:
                left.append((batch_without(batch, mine) if mine else batch, kept))
        return left or [([], [])]

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException as exc:  # the sink's code, be it an exit or a panic
            leave_if_child_by(exc)
            raise self._trouble(what, exc) from exc
