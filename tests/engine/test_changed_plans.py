"""Plans that have changed between two runs: what may be resumed, and what is refused by name."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from test_checkpointed_runs import until

import penstock as ps
from penstock.connectors import files
from penstock.engine.beginning import beginning
from penstock.errors import LayoutChanged

pytestmark = pytest.mark.timeout(300)
ROWS = 3000


def numbers() -> Iterator[dict[str, int]]:
    for x in range(ROWS):
        time.sleep(0.0005)
        yield {"id": x, "key": x % 7}


def slow(row: dict[str, int]) -> dict[str, int]:
    time.sleep(0.001)
    return row


def number(seen: int, row: dict[str, int]) -> tuple[int, dict[str, int]]:
    return seen + 1, {**row, "seen": seen + 1}


@pytest.fixture
def where(tmp_path: Path) -> dict[str, Any]:
    return {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}


def _app(out: Path, *, workers: int = 1, added: str = "", key: str = "key") -> ps.Pipeline:
    app = ps.Pipeline("changing")
    rows = app.source(numbers, name="numbers").stage("count", workers=workers).key_by(key).scan(0, number)
    if added == "before":
        rows = rows.stage("added").map(lambda row: {**row, "added": True})
    rows = rows.stage("slow").map(slow)
    if added == "behind":
        rows = rows.stage("added").map(lambda row: {**row, "added": True})
    rows.sink(files.json_lines(out), name="store")
    return app


def _stopped(app: ps.Pipeline, out: Path, where: dict[str, Any], how: str) -> None:
    handle = app.start(**where)
    until(lambda: out.exists() and out.stat().st_size > 3000)
    assert (handle.stop() if how == "stop" else handle.drain()).resumes


def _rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.open()]


def _counted(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return sorted((row["id"], row["seen"]) for row in rows)


@pytest.mark.parametrize(("how", "place"), [("stop", "before"), ("drain", "behind")])
def test_a_stage_that_is_put_between_two_others_gets_what_was_on_its_way(
    tmp_path: Path, where: dict[str, Any], how: str, place: str
) -> None:
    out = tmp_path / "out.jsonl"
    _stopped(_app(out), out, where, how)
    before = len(_rows(out))
    assert _app(out, added=place, workers=2).run(**where).outcome == "finished"
    rows = _rows(out)
    assert _counted(rows) == [(x, x // 7 + 1) for x in range(ROWS)]
    without = sum("added" not in row for row in rows)
    assert without == before if how == "drain" else before <= without < ROWS


def test_state_is_not_kept_for_another_key(tmp_path: Path, where: dict[str, Any]) -> None:
    out = tmp_path / "out.jsonl"
    _stopped(_app(out), out, where, "drain")
    with pytest.raises(LayoutChanged, match=r"edge numbers->count: .*, and stage count has state"):
        _app(out, key="id").run(**where)
    assert _app(out).run(**where).outcome == "finished"
    assert _counted(_rows(out)) == [(x, x // 7 + 1) for x in range(ROWS)]


def test_a_stage_that_is_gone_is_refused_while_rows_are_on_their_way_to_it(
    tmp_path: Path, where: dict[str, Any]
) -> None:
    out = tmp_path / "out.jsonl"
    _stopped(_app(out, added="behind"), out, where, "drain")
    rows = len(_rows(out))
    assert _app(out).run(**where).outcome == "finished"
    assert _counted(_rows(out)) == [(x, x // 7 + 1) for x in range(ROWS)]
    assert sum("added" in row for row in _rows(out)) == rows


def _windows(out: Path, workers: int) -> ps.Pipeline:
    def columns(rows: pa.Table) -> pa.Table:
        return rows

    app = ps.Pipeline("changing")
    tables = app.source(numbers, name="numbers").stage("columns").map_batches(columns)
    window = tables.stage("windows", workers=workers).key_by("key").window(ps.tumbling("700s"), time="id")
    window.aggregate(n=ps.count(), sum=ps.sum("id")).sink(files.json_lines(out), name="store")
    return app


def test_windows_over_columns_go_to_the_owner_of_their_key(tmp_path: Path, where: dict[str, Any]) -> None:
    out = tmp_path / "out.jsonl"
    for workers in (1, 3, 2):
        handle = _windows(out, workers).start(**where)
        before = handle.status().stages["windows"].rows_in
        until(lambda h=handle, b=before: h.status().stages["windows"].rows_in > b + 200)
        assert (handle.stop() if workers == 3 else handle.drain()).resumes
    assert _windows(out, 4).run(**where).outcome == "finished"
    found = sorted((row["key"], row["start"], row["n"], row["sum"]) for row in _rows(out))
    assert found == [
        (key, start, len(ids), sum(ids))
        for key in range(7) for start in range(0, ROWS, 700)
        for ids in [[x for x in range(start, min(start + 700, ROWS)) if x % 7 == key]]
    ]


def test_where_a_run_would_begin_is_told_before_it_does(tmp_path: Path, where: dict[str, Any]) -> None:
    out = tmp_path / "out.jsonl"
    assert beginning(_app(out).plan(), **where) == "the next run starts from the beginning"
    _stopped(_app(out), out, where, "stop")
    told = beginning(_app(out, workers=3).plan(), **where)
    assert told.startswith("the next run resumes where the run stood that ended ")
    assert told.endswith("stage count: workers 1 -> 3")
    handle = _app(out).start(**where)
    assert (handle.status().resumed or "").startswith("where the run stood that ended ")
    handle.wait()
    assert beginning(_app(out).plan(), **where) == "the next run starts from the beginning"
