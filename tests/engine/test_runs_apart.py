"""What a run takes over from an earlier one, and what it must not: a record of another run, a policy of yesterday."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock.batch import Batch, rows_of
from penstock.connectors import files
from penstock.sink import Delivery, Sink, TransactionalWriter
from penstock.source import Position


@dataclass(frozen=True)
class Table(Sink[Any]):
    """A line for each transaction: its rows, and the record that came with them."""

    path: Path

    @property
    def label(self) -> str:
        return "table"

    @property
    def delivery(self) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def writer(self, position: Position | None, context: ps.Context) -> TransactionalWriter[Any]:
        return _TableWriter(self.path)

    def stored(self) -> list[Any]:
        return [row for rows, _ in _transactions(self.path) for row in rows]


class _TableWriter(TransactionalWriter[Any]):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Any] = []

    def write(self, batch: Batch[Any]) -> None:
        self._rows += rows_of(batch)

    def commit(self, record: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode([self._rows, record]) + b"\n")
        self._rows = []

    def last_record(self) -> bytes | None:
        found = _transactions(self._path)
        return found[-1][1] if found else None


def _transactions(path: Path) -> list[tuple[list[Any], bytes]]:
    if not path.exists():
        return []
    decoder = msgspec.json.Decoder(tuple[list[Any], bytes])
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def test_a_sinks_record_of_another_run_is_no_reason_to_leave_rows_out(tmp_path: Path, where: Any) -> None:
    """The table keeps the last record of the run before, which has a higher number than a fresh one begins with."""
    table = Table(tmp_path / "table")
    for begin in (0, 100):
        app = ps.Pipeline("apart")
        app.source(range(begin, begin + 50), name="numbers").sink(table, name="store")
        assert app.run(**where).outcome == "finished"
    assert sorted(table.stored()) == [*range(50), *range(100, 150)]


def fails_on_seven(n: int) -> int:
    if n == 7:
        raise ValueError("seven")
    return n


def test_the_policy_for_failed_rows_is_that_of_the_run_that_resumes(tmp_path: Path, where: Any) -> None:
    """Who changes `fail` to `skip` after a failure, and runs again, wants just that to count."""

    def app(policy: ps.ErrorPolicy) -> ps.Pipeline:
        pipeline = ps.Pipeline("policy")
        rows = pipeline.source(list(range(20)), name="numbers").stage("check", on_error=policy).map(fails_on_seven)
        rows.sink(files.json_lines(tmp_path / "out.jsonl"), name="store")
        return pipeline

    with pytest.raises(ps.PipelineFailed, match="seven"):
        app(ps.fail()).run(**where)
    report = app(ps.skip()).run(**where)
    assert (report.outcome, report.stages["check"].skipped) == ("finished", 1)
    rows = [msgspec.json.decode(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert sorted(rows) == [n for n in range(20) if n != 7]
