"""The DuckDB sink in one process: what is stored, what is rejected, what a fresh run does."""

from __future__ import annotations

import dataclasses
import enum
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.connectors import duckdb as connector
from penstock.errors import OutputExists, PenstockError
from penstock.operator import Context, Unavailable
from penstock.sink import Delivery, RowsRejected, TransactionalWriter

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")

CONTEXT = Context(pipeline="clicks", stage="store", slot=0, workers=1, attempt=1)
Open = Callable[..., TransactionalWriter[Any]]


class Visit(msgspec.Struct):
    id: str
    ms: float = 0.0
    note: str | None = None


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "out.duckdb"


@pytest.fixture
def opened(database: Path) -> Iterator[Open]:
    writers: list[TransactionalWriter[Any]] = []

    def open_writer(table: str = "visits", stage: str = "store", **options: Any) -> TransactionalWriter[Any]:
        context = Context(pipeline="clicks", stage=stage, slot=0, workers=1, attempt=1)
        writer = connector.table(database, table, **options).writer(None, context)
        assert isinstance(writer, TransactionalWriter)
        writers.append(writer)
        return writer

    yield open_writer
    for writer in writers:
        writer.close()


def query(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), config={"threads": 1}) as connection:
        found: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return found


def rejected(writer: TransactionalWriter[Any]) -> dict[int, str]:
    with pytest.raises(RowsRejected) as caught:
        writer.commit(b"refused")
    return caught.value.reasons


def test_the_sink_is_a_picklable_description(database: Path) -> None:
    sink = pickle.loads(pickle.dumps(connector.table(database, "Page Views", key=["a", "b"])))
    assert sink.label == "duckdb-page_views"
    assert sink.delivery is Delivery.EXACTLY_ONCE
    assert sink.shared_slot == str(database.resolve())
    assert sink.target == f"table Page Views in {database}"
    assert list(sink.check_sink()) == []
    assert not database.exists()


@pytest.mark.parametrize(
    ("path", "table", "options", "problem"),
    [
        (":memory:", "t", {}, "is not a file"),
        ("missing/x.duckdb", "t", {}, "does not exist; create it"),
        (".", "t", {}, "is a directory"),
        ("x.duckdb", "a.b.c", {}, "is not a table"),
        ("x.duckdb", "t", {"if_exists": "replace"}, "if_exists='replace'"),
    ],
)
def test_mistakes_are_told_in_words_before_a_run(
    path: str, table: str, options: dict[str, Any], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [found] = connector.table(path, table, **options).check_sink()
    assert problem in found


def test_rows_and_record_appear_together_at_the_commit(opened: Open, database: Path) -> None:
    writer = opened()
    assert writer.last_record() is None
    writer.write([Visit("a", 1.5), Visit("b")])
    writer.write([Visit("c")])
    assert query(database, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'visits'") == [(0,)]
    writer.commit(b"\x00one")
    assert query(database, "SELECT * FROM visits") == [("a", 1.5, None), ("b", 0.0, None), ("c", 0.0, None)]
    assert writer.last_record() == b"\x00one"
    writer.commit(b"two")
    assert writer.last_record() == b"two"


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Pair(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("batch", "stored"),
    [
        ([Point(1, 2)], [(1, 2)]),
        ([Pair(1, 2)], [(1, 2)]),
        ([{"x": 1}, {"y": 2}], [(1, None), (None, 2)]),
        ([1, 2], [(1,), (2,)]),
        (["a"], [("a",)]),
        (Lines(b"a\r\nb", 1), [("a",), ("b",)]),
        (pa.table({"x": [1], "y": ["b"]}), [(1, "b")]),
        (pa.RecordBatch.from_pylist([{"x": 1}]), [(1,)]),
        ([Point(1, 2), {"y": 3}, Pair(4, 5)], [(1, 2), (None, 3), (4, 5)]),
    ],
)
def test_every_shape_of_batch_is_stored_in_order(opened: Open, database: Path, batch: Any, stored: Any) -> None:
    writer = opened()
    writer.write(batch)
    writer.commit(b"1")
    assert query(database, "SELECT * FROM visits") == stored


def test_columns_and_rows_may_take_turns(opened: Open, database: Path) -> None:
    writer = opened()
    for batch in ([{"x": 1}], pa.table({"x": [2, 3]}), [{"x": 4}], Lines(b"", 0), [{"x": "no"}]):
        writer.write(batch)
    assert list(rejected(writer)) == [4]


class Color(enum.Enum):
    RED = "red"


class Rich(msgspec.Struct):
    whole: float
    maybe: int | None
    tags: list[str]
    color: Color
    point: Point
    day: date
    price: Decimal


def test_a_new_table_takes_its_types_from_annotations_first(opened: Open, database: Path) -> None:
    writer = opened()
    writer.write([Rich(1, None, [], Color.RED, Point(1, 2), date(2026, 1, 2), Decimal("1.5"))])
    writer.commit(b"1")
    described = {row[0]: row[1] for row in query(database, "DESCRIBE visits")}
    assert described == {
        "whole": "DOUBLE", "maybe": "BIGINT", "tags": "VARCHAR[]", "color": "VARCHAR",
        "point": "STRUCT(x BIGINT, y BIGINT)", "day": "DATE", "price": "DECIMAL(38,9)",
    }
    writer.write([Rich(2.5, 7, ["a"], Color.RED, Point(3, 4), date(2026, 1, 3), Decimal("1000.25"))])
    writer.commit(b"2")
    assert query(database, "SELECT whole, maybe, tags, point.y, price FROM visits ORDER BY whole")[1] == (
        2.5, 7, ["a"], 4, Decimal("1000.25"),
    )


def test_a_column_with_nothing_but_none_becomes_text(opened: Open, database: Path) -> None:
    writer = opened()
    writer.write([{"x": None, "y": []}])
    writer.commit(b"1")
    writer.write([{"x": 5, "y": ["a"]}])
    writer.commit(b"2")
    assert query(database, "SELECT * FROM visits") == [(None, []), ("5", ["a"])]


def test_rows_that_do_not_fit_are_named_with_their_column_and_nothing_is_committed(
    opened: Open, database: Path
) -> None:
    writer = opened(key="id")
    writer.write([Visit("a", 1.0)])
    writer.commit(b"1")
    writer.write([{"id": "b", "ms": 2}, {"id": "c", "ms": "fast"}])
    writer.write([{"id": None}, {"id": "d", "colour": 1}, {"id": "e", "ms": object()}, {"id": "f", "ms": "3.5"}])
    reasons = rejected(writer)
    assert sorted(reasons) == [1, 2, 3, 4]
    assert reasons[1] == "column 'ms' of visits is DOUBLE and cannot take 'fast'"
    assert "'id' is the key" in reasons[2]
    assert reasons[3] == "table visits has no column 'colour'; it has: id, ms, note"
    assert "column 'ms'" in reasons[4]
    assert query(database, "SELECT id FROM visits") == [("a",)]
    assert writer.last_record() == b"1"
    writer.write([{"id": "b", "ms": 2}])
    writer.write([{"id": "f", "ms": "3.5"}])
    writer.commit(b"2")
    assert query(database, "SELECT id, ms FROM visits ORDER BY id") == [("a", 1.0), ("b", 2.0), ("f", 3.5)]


def test_a_fraction_is_not_cut_off_to_fit_whole_numbers(opened: Open) -> None:
    writer = opened()
    writer.write([{"n": 1}])
    writer.commit(b"1")
    writer.write([{"n": 2.0}, {"n": 2.5}])
    assert list(rejected(writer)) == [1]


def test_a_number_too_large_for_its_column_is_rejected_alone(opened: Open) -> None:
    writer = opened()
    writer.write([{"n": 1}, {"n": 2**64}, {"n": 3}])
    assert list(rejected(writer)) == [1]


def test_a_datetime_among_dates_keeps_its_time(opened: Open, database: Path) -> None:
    query(database, "CREATE TABLE visits (day TIMESTAMP)")
    writer = opened()
    writer.write([{"day": date(2026, 1, 2)}, {"day": datetime(2026, 1, 2, 3, 4, 5)}])
    writer.commit(b"1")
    assert query(database, "SELECT * FROM visits") == [(datetime(2026, 1, 2),), (datetime(2026, 1, 2, 3, 4, 5),)]


def test_an_existing_table_is_matched_by_name_and_cast(opened: Open, database: Path) -> None:
    query(database, "CREATE TABLE visits (Day DATE, n INTEGER DEFAULT 7, ID VARCHAR)")
    writer = opened()
    writer.write([{"id": 5, "day": "2026-01-02"}])
    writer.commit(b"1")
    assert query(database, "SELECT * FROM visits") == [(date(2026, 1, 2), 7, "5")]


@pytest.mark.parametrize(
    ("columns", "rows", "bad"),
    [
        ("n INTEGER NOT NULL, s VARCHAR", [{"n": 1}, {"n": None}, {"n": 2}], [1]),
        ("n INTEGER PRIMARY KEY", [{"n": 1}, {"n": 2}, {"n": 1}, {"n": 100}], [2, 3]),
        ("n INTEGER UNIQUE, s VARCHAR", [{"n": None}, {"n": None}, {"n": 100}, {"n": "x"}], [2, 3]),
        ("n INTEGER CHECK (n > 0)", [{"n": i} for i in (1, -1, 2, 3, -5, 0, 4)], [1, 4, 5]),
        ("n INTEGER[]", [{"n": [1]}, {"n": 1}, {"n": {"a": 1}}], [1, 2]),
    ],
)
def test_what_a_constraint_refuses_is_found(
    opened: Open, database: Path, columns: str, rows: list[Any], bad: list[int]
) -> None:
    query(database, f"CREATE TABLE visits ({columns})")
    if "[]" not in columns:
        query(database, "INSERT INTO visits (n) VALUES (100)")
    writer = opened()
    writer.write(rows)
    assert sorted(rejected(writer)) == bad
    good = [row for index, row in enumerate(rows) if index not in bad]
    writer.write(good)
    writer.commit(b"1")
    count = query(database, "SELECT count(*) FROM visits")[0][0]
    assert count == len(good) + (0 if "[]" in columns else 1)


def test_the_last_row_of_a_key_wins_within_and_across_commits(opened: Open, database: Path) -> None:
    writer = opened(key="id")
    writer.write([Visit("a", 1), Visit("b", 1), Visit("a", 2)])
    writer.write([Visit("a", 3)])
    writer.commit(b"1")
    writer.write([Visit("b", 9)])
    writer.commit(b"2")
    assert query(database, "SELECT id, ms FROM visits ORDER BY id") == [("a", 3.0), ("b", 9.0)]


operations = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["x", "y"]), st.one_of(st.integers(0, 9), st.just("bad"))), max_size=30
)


@settings(max_examples=15)
@given(rows=operations, borders=st.sets(st.integers(0, 29)))
def test_what_an_upsert_leaves_does_not_depend_on_batch_borders(
    rows: list[tuple[int, str, Any]], borders: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    database = tmp_path_factory.mktemp("upsert") / "out.duckdb"
    query(database, "CREATE TABLE t (a INTEGER, b VARCHAR, v INTEGER)")
    writer = connector.table(database, "t", key=["a", "b"]).writer(None, CONTEXT)
    assert isinstance(writer, TransactionalWriter)
    pending: list[dict[str, Any]] = []
    for index, (a, b, v) in enumerate(rows):
        pending.append({"a": a, "b": b, "v": v})
        if index in borders or index == len(rows) - 1:
            commit_good(writer, pending)
            pending = []
    writer.close()
    expected = {(a, b): v for a, b, v in rows if v != "bad"}
    assert {(a, b): v for a, b, v in query(database, "SELECT * FROM t")} == expected


def commit_good(writer: TransactionalWriter[Any], rows: list[dict[str, Any]]) -> None:
    writer.write(rows)
    try:
        writer.commit(b"r")
    except RowsRejected as refused:
        assert all(rows[index]["v"] == "bad" for index in refused.reasons)
        writer.write([row for index, row in enumerate(rows) if index not in refused.reasons])
        writer.commit(b"r")


def test_a_key_gets_an_index_in_a_table_that_has_none(opened: Open, database: Path) -> None:
    query(database, "CREATE TABLE visits (id VARCHAR, ms DOUBLE); INSERT INTO visits VALUES ('a', 1)")
    writer = opened(key="id")
    writer.write([{"id": "a", "ms": 2}])
    writer.commit(b"1")
    assert query(database, "SELECT * FROM visits") == [("a", 2.0)]


def test_a_key_that_is_not_unique_in_the_table_is_told(opened: Open, database: Path) -> None:
    query(database, "CREATE TABLE visits (id VARCHAR); INSERT INTO visits VALUES ('a'), ('a')")
    with pytest.raises(PenstockError, match="several rows with the same"):
        opened(key="id")


def test_a_key_that_no_row_has_is_told(opened: Open) -> None:
    writer = opened(key="event_id")
    writer.write([Visit("a")])
    with pytest.raises(PenstockError, match=r"no column 'event_id'.*they have: id, ms, note"):
        writer.commit(b"1")


def test_two_tables_of_one_file_commit_in_turn(opened: Open, database: Path) -> None:
    visits, pages = opened("visits", "a"), opened("other.pages", "b")
    for turn in range(3):
        visits.write([{"v": turn}])
        pages.write([{"p": turn}])
        visits.commit(b"v%d" % turn)
        pages.commit(b"p%d" % turn)
    assert query(database, "SELECT v, p FROM visits JOIN other.pages ON v = p ORDER BY v") == [(0, 0), (1, 1), (2, 2)]
    assert (visits.last_record(), pages.last_record()) == (b"v2", b"p2")


def fill(database: Path, **options: Any) -> None:
    sink = connector.table(database, "visits", **options)
    sink.refuse()
    sink.prepare()
    writer = sink.writer(None, CONTEXT)
    assert isinstance(writer, TransactionalWriter)
    writer.write([{"x": 1}])
    writer.commit(b"done")
    writer.close()


def test_a_fresh_run_does_what_if_exists_says(database: Path) -> None:
    fill(database)
    with pytest.raises(OutputExists, match="table visits in"):
        fill(database)
    fill(database, if_exists="append")
    assert query(database, "SELECT count(*) FROM visits") == [(2,)]
    fill(database, if_exists="overwrite")
    assert query(database, "SELECT count(*) FROM visits") == [(1,)]


def test_an_empty_table_made_beforehand_is_written_to(database: Path) -> None:
    query(database, "CREATE TABLE visits (x UTINYINT)")
    fill(database)
    assert query(database, "SELECT typeof(x) FROM visits") == [("UTINYINT",)]


def test_a_database_open_in_another_process_is_named_with_what_to_do(database: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()",
         str(database)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"open\n"
        with pytest.raises(Unavailable, match=rf"another process has .*{holder.pid}.*close it there"):
            connector.table(database, "visits").refuse()
        holder.communicate()


def test_a_database_open_in_this_process_is_named_with_what_to_do(database: Path) -> None:
    with duckdb.connect(str(database)), pytest.raises(PenstockError, match="in this very process; close"):
        connector.table(database, "visits").refuse()
