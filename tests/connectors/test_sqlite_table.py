"""The SQLite sink: what is stored, what is rejected, what a fresh run does, and what a killed worker leaves."""

from __future__ import annotations

import datetime
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock.connectors import sqlite
from penstock.engine import engine
from penstock.errors import OutputExists, TargetDamaged
from penstock.operator import Context, Unavailable
from penstock.sink import RowsRejected, TransactionalWriter
from penstock.slot.records.life import Crash

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=0)


class Visit(msgspec.Struct):
    id: int
    ms: float = 0.0
    note: str | None = None
    tags: list[str] = []


def opened(path: Path, **options: Any) -> TransactionalWriter[Any]:
    writer = sqlite.table(path, "visits", **options).writer(None, CONTEXT)
    assert isinstance(writer, TransactionalWriter)
    return writer


def rows_in(path: Path, what: str = "*") -> list[Any]:
    with sqlite3.connect(path) as connection:
        return connection.execute(f"SELECT {what} FROM visits ORDER BY id").fetchall()


def test_rows_and_record_are_one_transaction(tmp_path: Path) -> None:
    writer = opened(tmp_path / "x.db")
    assert writer.last_record() is None
    writer.write([Visit(1, 2.5, "a", ["x"]), Visit(2)])
    writer.commit(b"first")
    writer.write([Visit(3)])
    writer.close()  # killed before the commit
    again = opened(tmp_path / "x.db")
    assert again.last_record() == b"first"
    assert rows_in(tmp_path / "x.db") == [(1, 2.5, "a", '["x"]'), (2, 0.0, None, "[]")]


def test_values_are_stored_as_they_are_or_rejected(tmp_path: Path) -> None:
    writer = opened(tmp_path / "x.db")
    at = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)
    writer.write([{"id": 1, "b": True, "at": at, "n": Decimal("1.10"), "raw": b"x"}])
    writer.commit(b"1")
    assert rows_in(tmp_path / "x.db") == [(1, 1, "2026-01-02T03:04:00+00:00", "1.10", b"x")]
    odd = [{"id": 2**63}, {"id": "text"}, {"id": 3, "other": 1}, {"id": 4, "at": "\ud800"}]
    writer.write([{"id": 2}, *odd, {"id": 5}])
    with pytest.raises(RowsRejected) as rejected:
        writer.commit(b"2")
    assert set(rejected.value.reasons) == {1, 2, 3, 4}
    assert "no column 'other'" in rejected.value.reasons[3]
    assert opened(tmp_path / "x.db").last_record() == b"1"
    writer.write([{"id": float("nan")}])
    with pytest.raises(RowsRejected, match="1 rows"):
        writer.commit(b"3")
    writer.write([{"id": 2}, {"id": 5}])
    writer.commit(b"4")
    assert rows_in(tmp_path / "x.db", "id") == [(1,), (2,), (5,)]


def test_of_several_rows_of_a_key_the_last_counts_whatever_their_form(tmp_path: Path) -> None:
    writer = opened(tmp_path / "x.db", key="id")
    writer.write([{"id": 1, "note": "a", "ms": 1.0}, {"id": 1, "ms": 2.0}, {"id": 1, "note": "c", "ms": 3.0}])
    writer.commit(b"1")
    writer.write([{"id": 1, "ms": 4.0}])
    writer.commit(b"2")
    assert rows_in(tmp_path / "x.db", "id, note, ms") == [(1, "c", 4.0)]


def test_a_fresh_run_refuses_appends_or_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    sqlite.table(path, "visits").refuse()
    writer = opened(path)
    writer.write([Visit(1)])
    writer.commit(b"1")
    with pytest.raises(OutputExists):
        sqlite.table(path, "visits").refuse()
    sqlite.table(path, "visits", if_exists="append").refuse()
    sqlite.table(path, "visits", if_exists="overwrite").prepare()
    writer = opened(path)
    writer.write([Visit(2)])
    writer.commit(b"2")
    assert rows_in(path, "id") == [(2,)]


def test_a_locked_database_is_waited_for_and_a_replaced_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.connectors.sqlite.database._LOCKED_S", 0.05)
    path = tmp_path / "x.db"
    writer = opened(path)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        writer.write([Visit(1)])
        with pytest.raises(Unavailable, match="locked"):
            writer.commit(b"1")
        other.execute("ROLLBACK")
    path.rename(tmp_path / "y.db")
    with pytest.raises(TargetDamaged, match="removed, renamed or replaced"):
        writer.commit(b"1")
    (tmp_path / "z.db").write_text("no database, and long enough to be looked at as one" * 20)
    with pytest.raises(TargetDamaged, match="not a database"):
        opened(tmp_path / "z.db")


@pytest.mark.parametrize("point", ["before_sink_commit", "after_sink_commit"])
def test_a_killed_worker_loses_and_repeats_nothing(point: str, tmp_path: Path) -> None:
    app = ps.Pipeline("sqlite")
    app.source(range(1000)).map(Visit).sink(sqlite.table(tmp_path / "x.db", "visits"), name="store")
    report = engine.run(
        app.plan(), run_dir=tmp_path / "run", state_dir=tmp_path / "state", crashes={"store": (Crash(point, 500),)}
    )
    assert report.stages["store"].restarts == 1
    assert rows_in(tmp_path / "x.db", "id") == [(number,) for number in range(1000)]
