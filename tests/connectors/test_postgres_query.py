"""A query of PostgreSQL as a source: each row once, however often and wherever its reader is replaced."""

from __future__ import annotations

import contextlib
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock.connectors import postgres
from penstock.engine import engine
from penstock.operator import Context
from penstock.slot.records.life import Crash
from penstock.source import EndOfSplit, Reader

CONTEXT = Context(pipeline="p", stage="read", slot=0, workers=1, attempt=1)


class Order(msgspec.Struct):
    id: int
    amount: Decimal
    placed: datetime.datetime


def rest(source: Any, position: Any = None) -> tuple[list[Any], dict[Any, str], list[Any]]:
    """(rows, reasons of what is none, positions on the way), from a position on."""
    rows: list[Any] = []
    rejected: dict[Any, str] = {}
    positions = [position]
    for split in source.splits().values():
        reader: Reader[Any] = source.open(split, position, CONTEXT)
        try:
            while True:
                found: Any = reader.read()
                rejected.update({str(each.row): each.reason for each in found.rejected.values()})
                rows += [row for index, row in enumerate(found.batch) if index not in found.rejected]
                positions.append(reader.position())
        except EndOfSplit:
            pass
        finally:
            reader.close()
    return rows, rejected, positions


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("bigint", "n * 3"), ("numeric", "n + 0.5"), ("text", "'Ä%s''' || n"), ("date", "'2024-01-01'::date + n"),
        ("timestamptz", "'2024-03-30 12:00Z'::timestamptz + n * interval '7 minutes 3 microseconds'"),
        ("timestamp", "'2024-03-30 12:00'::timestamp + n * interval '1 hour'"), ("uuid", "md5(n::text)::uuid"),
        ("double precision", "n / 7.0"), ("boolean", "n > 0"),
    ],
)
def test_a_reader_goes_on_behind_any_page_whatever_the_keys_type(kind: str, key: str, pg: Any) -> None:
    count = 2 if kind == "boolean" else 2_000
    pg.query(f"CREATE TABLE t AS SELECT ({key})::{kind} AS k, n FROM generate_series(0, {count - 1}) n")
    pg.query(f"ALTER DATABASE {pg.name} SET datestyle = 'SQL, DMY'")
    pg.query(f"ALTER DATABASE {pg.name} SET timezone = 'Asia/Kolkata'")
    source = postgres.query(pg.dsn, "SELECT * FROM t WHERE n % 1 = 0 -- all; ", key="k")
    rows, rejected, positions = rest(source)
    assert rejected == {}
    assert [row["n"] for row in rows] == [n for (n,) in pg.query("SELECT n FROM t ORDER BY k")]
    for position in positions[1:]:
        behind, _, _ = rest(source, position)
        assert behind == rows[len(rows) - len(behind) :]
    if count > 100:
        assert len(positions) > 2
        assert rest(source, positions[1])[0] == rows[100:]


def test_rows_are_of_the_type_and_what_is_not_is_rejected(pg: Any) -> None:
    pg.query("CREATE TABLE t (id bigint, amount numeric, placed timestamptz)")
    pg.query("INSERT INTO t VALUES (1, 1.50, '2024-01-01Z'), (2, NULL, now()), (3, 1, '20000-01-01'), (4, 2, now())")
    rows, rejected, _ = rest(postgres.query(pg.dsn, "SELECT * FROM t;", Order, key="id"))
    assert [row.id for row in rows] == [1, 4]
    assert rows[0] == Order(1, Decimal("1.50"), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    reasons = sorted(rejected.values())
    assert "row with the key 2: ValidationError" in reasons[0]
    assert "row with the key 3: " in reasons[1]


def test_what_is_added_meanwhile_is_not_read_and_what_is_deleted_does_not_hold_it_up(pg: Any) -> None:
    pg.query("CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 500) n")
    source = postgres.query(pg.dsn, "SELECT id FROM t", key="id")
    [split] = source.splits().values()
    reader: Any = source.open(split, None, CONTEXT)
    found = len(reader.read().batch)
    pg.query("DELETE FROM t WHERE id > 400")
    pg.query("INSERT INTO t SELECT generate_series(501, 600)")
    with contextlib.suppress(EndOfSplit):
        while True:
            found += len(reader.read().batch)
    reader.close()
    assert found == 400


def test_an_empty_result_has_no_rows_and_a_key_that_repeats_is_told(pg: Any) -> None:
    pg.query("CREATE TABLE t (id bigint, n bigint)")
    source = postgres.query(pg.dsn, "SELECT * FROM t", key="id")
    assert rest(source)[0] == []
    pg.query("INSERT INTO t VALUES (1, 1), (2, 1), (2, 2)")
    with pytest.raises(ps.PenstockError, match="several rows of the query have the key 2"):
        rest(source)
    with pytest.raises(ps.PenstockError, match='column "nothing" does not exist'):
        rest(postgres.query(pg.dsn, "SELECT * FROM t", key="nothing"))
    with pytest.raises(ps.PenstockError, match="several columns 'n'; name them apart"):
        rest(postgres.query(pg.dsn, "SELECT id, n, n FROM t WHERE id = 1", key="id"))


@pytest.mark.parametrize(
    ("arguments", "options", "problem"),
    [
        (("", " ; "), {"key": "id"}, "the query is empty; write"),
        (("", "SELECT 1", Order), {"key": "name"}, "type has no field 'name' for the key; it has: id, amount, placed"),
    ],
)
def test_mistakes_are_told_in_words_before_a_run(arguments: Any, options: Any, problem: str) -> None:
    pytest.importorskip("psycopg")
    [found] = postgres.query(*arguments, **options).check_source()
    assert problem in found


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_rows_are_copied_from_table_to_table_once_though_both_ends_die(point: str, pg: Any, tmp_path: Path) -> None:
    pg.query("CREATE TABLE t AS SELECT n AS id, n * 2 AS twice FROM generate_series(1, 5000) n")
    app = ps.Pipeline("copy")
    app.source(postgres.query(pg.dsn, "SELECT * FROM t", key="id"), name="read").sink(
        postgres.table(pg.dsn, "u", key="id"), name="store"
    )
    crashes = {"read": (Crash(point, 1), Crash(point, 1000)), "store": (Crash(point, 1),)}
    report = engine.run(
        app.plan(), crashes=crashes, progress=False, run_dir=tmp_path / "run", state_dir=tmp_path / "state"
    )
    assert report.stages["read"].restarts >= 1
    assert pg.query("SELECT count(*), sum(id), sum(twice) FROM u") == [(5000, 12_502_500, 25_005_000)]
