"""A worker that dies at any named point of its turn is followed once, and nothing is lost or doubled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from chaos_harness import LONG_MODE_S, Collected, assert_nothing_left, for_chaos
from chaos_stages import NotedBy, as_record, keep, key_of, with_noise

import penstock as ps
from penstock.connectors import duckdb, files
from penstock.engine import engine
from penstock.report import Report
from penstock.slot.process.crash_points import POINTS
from penstock.slot.records.life import Crash

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.chaos

ROWS = 6_000
"""More than one batch of the source."""
CRASH_ROW = 700
_SENDING = ("before_append", "after_append")
_COMMITTING = ("before_commit", "after_commit", "after_publish", "in_user_code")
_WRITING = ("before_sink_write", "after_sink_write")
_TRANSACTION = ("before_sink_commit", "after_sink_commit")
REACHED = {
    "source": _SENDING + _COMMITTING,
    "stateless": _SENDING + _COMMITTING,
    "fan": _SENDING + _COMMITTING,
    "keyed": _SENDING + _COMMITTING,
    "in_order": _SENDING + _COMMITTING,
    "rows": _COMMITTING + _WRITING,
    "lines": _COMMITTING + _WRITING,
    "stored": _COMMITTING + _WRITING + _TRANSACTION,
    "noted": _COMMITTING,
}
"""Which points a stage comes by: those with outputs append, sinks write."""
TWO_SLOTS = ("keyed", "in_order")
ALL_CASES = [(stage, point) for stage, points in REACHED.items() for point in points]
CASES = ALL_CASES if LONG_MODE_S else ALL_CASES[::7]
"""One by one; all of them die together in the second test anyway."""


@dataclass(frozen=True)
class Shop:
    """One stage of each kind."""

    folder: Path
    has_database: bool = True
    """Importing DuckDB takes longer than all of the rest: only where it is needed."""

    @property
    def rows(self) -> Collected:
        return Collected(self.folder, "rows")

    @property
    def noted(self) -> Path:
        return self.folder / "noted"

    @property
    def lines(self) -> Path:
        return self.folder / "rows.jsonl"

    @property
    def database(self) -> Path:
        return self.folder / "rows.duckdb"

    def pipeline(self) -> ps.Pipeline:
        edge = ps.Edge(batch_rows=100)
        app = ps.Pipeline("chaos-points")
        made = app.source(range(ROWS), name="source").stage("stateless", edge=edge)
        fan = made.map(with_noise).stage("fan", edge=edge).map(keep)
        keyed = fan.stage("keyed", workers=2, edge=edge).key_by(key_of).map(keep)
        in_order = fan.stage("in_order", workers=2, ordered=True, edge=edge).map(keep)
        keyed.sink(self.rows, edge=edge)
        keyed.sink(NotedBy(self.noted), name="noted", edge=edge)
        in_order.sink(files.json_lines(self.lines), name="lines", edge=edge)
        if self.has_database:
            self._store(in_order, edge)
        return app

    def _store(self, in_order: ps.Stream[tuple[int, float]], edge: ps.Edge) -> None:
        records = in_order.stage("records", edge=edge).map(as_record)
        records.sink(duckdb.table(self.database, "rows"), name="stored", edge=edge)

    def assert_exact(self, report: Report) -> None:
        assert report.outcome == "finished"
        assert report.dead_letters == 0
        every = list(range(ROWS))
        rows = self.rows.rows()
        noise = dict(rows)
        assert sorted(number for number, _ in rows) == every
        told = [msgspec.json.decode(line) for line in self.lines.read_bytes().splitlines()]
        assert [number for number, _ in told] == every
        assert dict(told) == noise
        if self.has_database:
            assert self._stored() == [(number, noise[number]) for number in every]
        assert {int(line) for line in self.noted.read_text().split()} == set(every)  # at least once
        for stage in report.stages.values():
            assert stage.rows_in == ROWS, stage

    def _stored(self) -> list[tuple[int, float]]:
        import duckdb as database

        with database.connect(str(self.database), read_only=True) as connection:
            return connection.execute("SELECT number, noise FROM rows ORDER BY rowid").fetchall()


def test_every_named_point_is_reached_by_some_stage() -> None:
    assert {point for points in REACHED.values() for point in points} == set(POINTS)


@pytest.mark.parametrize(("stage", "point"), CASES, ids=[f"{stage}-{point}" for stage, point in CASES])
def test_the_result_is_exact_after_one_restart_when_a_worker_dies_at(stage: str, point: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, has_database=stage == "stored")
    row = CRASH_ROW // 2 if stage in TWO_SLOTS else CRASH_ROW
    plan = for_chaos(shop.pipeline().plan(), 16 * 1024)
    handle = engine.start(plan, fresh=True, state_dir=tmp_path / "state", crashes={stage: (Crash(point, row),)})
    report = handle.wait(timeout="30s")
    shop.assert_exact(report)
    assert report.stages[stage].restarts == (2 if stage in TWO_SLOTS else 1)
    assert sum(other.restarts for other in report.stages.values()) == report.stages[stage].restarts
    assert_nothing_left(handle.run_dir)


@pytest.mark.parametrize("point", POINTS)
def test_the_result_is_exact_when_the_workers_of_all_stages_die_at(point: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, has_database=point in (*_TRANSACTION, "after_commit"))
    plan = for_chaos(shop.pipeline().plan(), 16 * 1024)
    armed = {stage: (Crash(point, CRASH_ROW),) for stage, points in REACHED.items() if point in points}
    if not shop.has_database:
        armed.pop("stored", None)
    handle = engine.start(plan, fresh=True, state_dir=tmp_path / "state", crashes=armed)
    report = handle.wait(timeout="30s")
    shop.assert_exact(report)
    assert all(report.stages[stage].restarts == (2 if stage in TWO_SLOTS else 1) for stage in armed)
    assert_nothing_left(handle.run_dir)
