"""A stage that fails commits nothing of its turn that it could not do again: fixed code resumes, and loses no row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock.connectors import duckdb

ROWS = 500
BAD = 377


class Item(msgspec.Struct):
    n: int
    m: int


def item(n: int) -> Item:
    return Item(n, n)


def key_that_raises(row: Item) -> int:
    if row.n == BAD:
        raise ValueError("no key")
    return row.n % 5


def good_key(row: Item) -> int:
    return row.n % 5


def unencodable(n: int) -> Any:
    return (lambda: n) if n == BAD else n


def encodable(n: int) -> Any:
    return n


def keyed(key: Callable[[Item], int], out: Path) -> ps.Pipeline:
    app = ps.Pipeline("fails-keyed")
    rows = app.source(range(ROWS), name="numbers").stage("item").map(item)
    kept = rows.stage("keyed", workers=2, on_error=ps.fail()).key_by(key).map(item_of)
    kept.sink(duckdb.table(out / "x.duckdb", "t", if_exists="append"), name="store")
    return app


def item_of(row: Item) -> Item:
    return row


def stored(database: Path) -> list[int]:
    import duckdb as engine

    with engine.connect(str(database)) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n").fetchall()]


def test_a_key_that_raises_under_fail_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(ps.PipelineFailed) as failed:
        keyed(key_that_raises, tmp_path).run(state_dir=tmp_path)
    assert failed.value.stage == "keyed" and "no key" in failed.value.reason
    keyed(good_key, tmp_path).run(state_dir=tmp_path)
    assert stored(tmp_path / "x.duckdb") == list(range(ROWS))


def store(out: Path) -> ps.Pipeline:
    app = ps.Pipeline("fails-rejected")
    rows = app.source(range(ROWS), name="numbers").stage("item").map(item)
    rows.sink(duckdb.table(out / "x.duckdb", "t", if_exists="append"), name="store", on_error=ps.fail())
    return app


def test_a_row_that_a_sink_rejects_under_fail_takes_no_other_with_it(tmp_path: Path) -> None:
    import duckdb as engine

    with engine.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute(f"CREATE TABLE t (n BIGINT, m BIGINT CHECK (m <> {BAD}))")
    with pytest.raises(ps.PipelineFailed) as failed:
        store(tmp_path).run(state_dir=tmp_path)
    assert failed.value.stage == "store" and "rejected by the sink" in failed.value.reason
    before = stored(tmp_path / "x.duckdb")
    assert BAD not in before and len(before) == len(set(before))
    with engine.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute("CREATE TABLE u (n BIGINT, m BIGINT)")
        connection.execute("INSERT INTO u SELECT * FROM t")
        connection.execute("DROP TABLE t")
        connection.execute("ALTER TABLE u RENAME TO t")
    store(tmp_path).run(state_dir=tmp_path)
    assert stored(tmp_path / "x.duckdb") == list(range(ROWS))


def give(fn: Callable[[int], Any]) -> ps.Stream[Any]:
    numbers = ps.Pipeline("fails-unencodable").source(range(ROWS), name="numbers")
    return numbers.stage("give", on_error=ps.fail()).map(fn)


def test_a_result_that_cannot_travel_under_fail_loses_nothing() -> None:
    got: list[Any] = []
    with pytest.raises(ps.PipelineFailed) as failed, give(unencodable).results(fresh=True) as results:
        got.extend(results)
    assert failed.value.stage == "give" and "local object" in failed.value.reason  # 3.13: "Can't get", not "pickle"
    with give(encodable).results() as results:
        got.extend(results)
    assert got == list(range(ROWS))


def wrong(n: int) -> Any:
    raise KeyError("usr")


def hopeless(fn: Callable[[int], Any]) -> ps.Stream[Any]:
    numbers = ps.Pipeline("fails-hopeless").source(range(ROWS), name="numbers")
    return numbers.stage("give", on_error=ps.dead_letter(give_up_after=100)).map(fn)


def test_code_that_is_wrong_for_every_row_sets_fewer_rows_aside_than_its_limit(tmp_path: Path) -> None:
    with pytest.raises(ps.PipelineFailed, match="no row has ever succeeded") as failed:
        list(hopeless(wrong).results(fresh=True))
    set_aside = failed.value.report.dead_letters
    assert set_aside < 100
    assert len(list(hopeless(encodable).results())) == ROWS - set_aside
