"""Dead letters and a sink's transaction: killed anywhere around it, each row is stored or set aside, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import penstock as ps
from penstock.connectors import duckdb
from penstock.engine import engine
from penstock.slot.records.life import Crash

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

ROWS, BAD = 400, (3, 77, 399)


def _as_record(n: int) -> dict[str, int]:
    return {"n": n}


@pytest.mark.parametrize("point", ["before_sink_commit", "after_sink_commit", "after_commit"])
def test_a_rejected_row_is_set_aside_once_when_its_writer_dies(point: str, where: Any, tmp_path: Path) -> None:
    import duckdb as database

    path = tmp_path / "x.duckdb"
    with database.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t (n BIGINT CHECK (n NOT IN (3, 77, 399)))")
    app = ps.Pipeline("letters")
    rows = app.source(range(ROWS), name="numbers").stage("record").map(_as_record)
    rows.sink(duckdb.table(path, "t", if_exists="append"), name="store")
    report = engine.run(app.plan(), crashes={"store": (Crash(point, 1),)}, progress=False, **where)
    assert report.stages["store"].restarts == 1
    letters = list(ps.read_dead_letters("letters", state_dir=where["state_dir"]))
    assert sorted(letter.row["n"] for letter in letters) == list(BAD)
    with database.connect(str(path), read_only=True) as connection:
        stored = [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n").fetchall()]
    assert stored == [n for n in range(ROWS) if n not in BAD]
    store = report.stages["store"]
    assert (store.rows_in, store.rows_out, store.dead_letters) == (ROWS, ROWS - len(BAD), len(BAD))
