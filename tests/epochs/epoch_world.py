"""One slot with a sink that waits for checkpoints, over memory: commits, cuts, deaths, and losses of the machine.

The target is a server: it outlives all of these. Rows are numbers, read from a source that goes back to what is
committed.
"""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

from penstock.memory_files import MemoryFiles
from penstock.operator import Context
from penstock.sink import RowsRejected, Sink, TransactionalWriter, TwoPhaseWriter, Writer
from penstock.slot.covered_files import covered_logs
from penstock.slot.output.epoch_output import EpochOutput, Place
from penstock.slot.output.open_epoch_sink import open_epoch_sink
from penstock.slot.process.crash_points import CrashPoints
from penstock.slot.records.record import Counts, Record, StageRecord, decode_record, encode_record

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=0, run_id="run")
FOLDER = Path("/slots/s.0")


class Died(Exception):
    """The process is gone."""


class Server:
    """A target, and whoever dies at which of its calls."""

    def __init__(self, bad: frozenset[int] = frozenset(), at_write: frozenset[int] = frozenset()) -> None:
        """`bad`: rows that it refuses when they are committed; `at_write`: when they are written."""
        self.bad, self.at_write = bad, at_write
        self.rows: list[int] = []
        self.note = b""
        self.prepared: dict[str, list[int]] = {}
        self.dies = ""
        """Where the next death is."""

    def reached(self, point: str) -> None:
        if self.dies == point:
            self.dies = ""
            raise Died


class ServerSink(Sink[Any]):
    def __init__(self, server: Server, *, two_phase: bool = False) -> None:
        self.server = server
        self.two_phase = two_phase

    @property
    def waits_for_checkpoint(self) -> bool:
        return True

    def writer(self, position: Any, context: Context) -> Writer[Any]:
        return _TwoPhases(self.server) if self.two_phase else _Transactions(self.server)


class _Transactions(TransactionalWriter[Any]):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.open_rows: list[int] = []

    def write(self, batch: Any) -> None:
        self.server.reached("write")
        refused = {index: "no" for index, row in enumerate(batch) if row in self.server.at_write}
        self.open_rows += [row for row in batch if row not in self.server.at_write]
        if refused:
            raise RowsRejected(refused)

    def commit(self, record: bytes) -> None:
        rows, self.open_rows = self.open_rows, []
        self.server.reached("commit")
        refused = {index: "no" for index, row in enumerate(rows) if row in self.server.bad}
        if refused:
            raise RowsRejected(refused)
        self.server.rows += rows
        self.server.note = record
        self.server.reached("committed")

    def last_record(self) -> bytes | None:
        return self.server.note or None


class _TwoPhases(TwoPhaseWriter[Any]):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.open_rows: list[int] = []

    def write(self, batch: Any) -> None:
        self.server.reached("write")
        refused = {index: "no" for index, row in enumerate(batch) if row in self.server.at_write}
        self.open_rows += [row for row in batch if row not in self.server.at_write]
        if refused:
            raise RowsRejected(refused)

    def prepare(self, token: str) -> None:
        rows, self.open_rows = self.open_rows, []
        self.server.reached("prepare")
        refused = {index: "no" for index, row in enumerate(rows) if row in self.server.bad}
        if refused:
            raise RowsRejected(dict(list(refused.items())[:1]))
        assert token not in self.server.prepared
        self.server.prepared[token] = rows
        self.server.reached("prepared")

    def commit(self, token: str) -> None:
        self.server.reached("commit")
        self.server.rows += self.server.prepared.pop(token, [])
        self.server.reached("committed")

    def abort(self, token: str) -> None:
        self.server.reached("abort")
        del self.server.prepared[token]

    def pending(self) -> list[str]:
        return list(self.server.prepared)


class Machine:
    """The disk of a machine: the slot's files, its journal, its letters."""

    def __init__(self) -> None:
        self.files = MemoryFiles()
        self.journal = encode_record(Record(stages=[StageRecord()]))
        self.letters: list[int] = []
        self.durable = 0

    def cut(self) -> Cut:
        return Cut(self)


class Cut:
    """What a checkpoint holds: what the record covers, and nothing else."""

    def __init__(self, machine: Machine) -> None:
        self.record = machine.journal
        record = decode_record(self.record)
        self.number = record.number
        self.letters = list(machine.letters)
        self.files = {}
        for file in covered_logs(record, FOLDER, Path("/letters")):
            opened = machine.files.open(file.path, 0)
            self.files[file.path] = opened.pread(file.length, 0)
            assert len(self.files[file.path]) == file.length

    def restored(self) -> Machine:
        machine = Machine()
        for path, data in self.files.items():
            machine.files.open(path, 64).pwrite(data, 0)
        record = decode_record(self.record)
        record.lineage += 1
        machine.journal, machine.letters, machine.durable = encode_record(record), list(self.letters), self.number
        return machine


class Life:
    """A worker: writes rows, commits, hears what is durable."""

    def __init__(self, machine: Machine, sink: Sink[Any]) -> None:
        self.machine = machine
        self.record = decode_record(machine.journal)
        self.counts = self.record.stages[0].counts
        place = Place(FOLDER, 0, int, "run", machine.files, lambda: False, CrashPoints())
        self.output: EpochOutput = open_epoch_sink(sink, place, CONTEXT)
        self.output.epoch = self.record.stages[0].epoch
        self.output.resume()
        self.output.committed(self.record.number)
        self.known = -1
        self.hear()

    @property
    def next_row(self) -> int:
        return self.counts.rows_in

    def write(self, count: int) -> None:
        rows = list(range(self.next_row, self.next_row + count))
        assert not self.output.write([rows], self.counts)
        self.counts.rows_in += count

    def commit(self) -> None:
        letters: list[int] = []
        while refused := self.output.prepare(self.counts):
            letters += [row for row, _ in refused]
        number = self.record.number + 1
        self.record = Record(number, {}, "run", [StageRecord(counts=self.counts, epoch=self.output.epoch)])
        machine = self.machine
        machine.letters += letters
        machine.journal = encode_record(self.record)
        self.output.committed(number)
        self.hear()

    def hear(self) -> None:
        if self.machine.durable > self.known:
            self.known = self.machine.durable
            self.output.durable(self.known)

    @property
    def may_finish(self) -> bool:
        return self.output.awaits <= self.known

    def copy_of_counts(self) -> Counts:
        return copy.copy(self.counts)


def once(rows: list[int]) -> bool:
    return all(count == 1 for count in Counter(rows).values())
