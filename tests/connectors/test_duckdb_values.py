"""A value is stored in a DuckDB column as it is, or its row is set aside: whatever the column, the value, the zone."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from penstock.connectors import duckdb as connector
from penstock.operator import Context
from penstock.sink import RowsRejected

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

CONTEXT = Context(pipeline="values", stage="store", slot=0, workers=1, attempt=1)
BERLIN = timezone(timedelta(hours=2))
NUMBERS = "TINYINT INTEGER BIGINT UBIGINT HUGEINT FLOAT DOUBLE BOOLEAN DECIMAL(5,1) DECIMAL(38,9)".split()
COLUMNS = [
    *NUMBERS, "VARCHAR", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMPTZ", "INTERVAL", "UUID",
    "INTEGER[]", "VARCHAR[]", "STRUCT(a INTEGER)", "STRUCT(a DOUBLE, b VARCHAR)", "MAP(VARCHAR, INTEGER)",
]
VALUES: list[Any] = [
    0, 1, 2, -1, 300, 2**53 + 1, 2**63 - 1, True, False, 0.0, 0.1, 1.5, 1.25, -2.0, 1e300, 2.0**60,
    Decimal("1.5"), Decimal("1.25"), Decimal("2"), Decimal("1" * 38), Decimal("1" * 41), Decimal("1E-12"),
    Decimal("1E+5"), Decimal("NaN"), "", "abc", "1", "1.7", "2.0", "2024-01-01", "2024-01-01 10:00:00", "true",
    b"", b"abc", time_of_day(10, 30), date(2024, 1, 1), datetime(2024, 1, 1), datetime(2024, 10, 27, 2, 30),
    datetime(2024, 1, 1, 10, 0, 0, 5),
    datetime(2024, 10, 27, 0, 30, tzinfo=UTC), datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
    datetime(2024, 1, 1, 1, tzinfo=BERLIN), timedelta(hours=30), UUID(int=7), [1, 2], [1.5], [1, None], ["a"], [],
    {"a": 1}, {"a": 1.5}, {"a": 1, "b": "x"}, {"a": 1, "b": None}, {"a": 1, "A": 2}, {"c": 1},
]


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def write(database: Path, column: str, values: list[Any]) -> set[int]:
    """The places of the values whose rows were rejected."""
    with duckdb.connect(str(database)) as made:
        made.execute(f"CREATE TABLE t (n INTEGER, v {column})")
    writer: Any = connector.table(database, "t", if_exists="append").writer(None, CONTEXT)
    rows, rejected = {n: {"n": n, "v": value} for n, value in enumerate(values)}, set()
    try:
        while True:
            order = list(rows)
            writer.write(list(rows.values()))
            try:
                writer.commit(b"record")
                return rejected
            except RowsRejected as exc:
                assert exc.reasons, "nothing rejected"
                for place in exc.reasons:
                    rejected.add(order[place])
                    del rows[order[place]]
    finally:
        writer.close()


def stored(database: Path, column: str) -> dict[int, Any]:
    shown = "epoch_us(v)" if column == "TIMESTAMPTZ" else "v"
    with duckdb.connect(str(database)) as made:
        return dict(made.execute(f"SELECT n, {shown} FROM t").fetchall())


def is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, Decimal))


def micros(value: datetime) -> int:
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def is_the_number(given: Any, found: Any, column: str) -> bool:
    if column == "FLOAT" and isinstance(given, (float, Decimal)):
        return struct.pack("f", given) == struct.pack("f", found)
    nearest = {type(given), type(found)} == {float, Decimal}  # 0.1 is not quite 0.1
    return bool(given == found or (nearest and float(given) == float(found)))


def is_kept(given: Any, found: Any, column: str) -> bool:
    """Whether what stands in the table says all that was given, and nothing else."""
    if is_number(given) and is_number(found):
        return is_the_number(given, found, column)
    if isinstance(given, datetime) and column == "TIMESTAMPTZ":
        return micros(given) == found
    if isinstance(given, datetime) and isinstance(found, datetime):
        return micros(given) == micros(found)
    if isinstance(given, datetime) and isinstance(found, date):
        return micros(given) == micros(datetime(found.year, found.month, found.day))
    if isinstance(given, date) and isinstance(found, int):
        return micros(datetime(given.year, given.month, given.day)) == found
    if isinstance(given, date) and isinstance(found, datetime):
        return found == datetime(given.year, given.month, given.day)
    if isinstance(given, list) and isinstance(found, list):
        return len(given) == len(found) and all(map(lambda g, f: g is f is None or is_kept(g, f, ""), given, found))
    if isinstance(given, dict) and isinstance(found, dict):
        names = {key for key, value in given.items() if value is not None}
        return names == {key for key, value in found.items() if value is not None} and all(
            is_kept(given[key], found[key], "") for key in names
        )
    if isinstance(given, str) and not isinstance(found, str):
        return says_the_same(given, found, column)
    if isinstance(given, UUID) and isinstance(found, bytes):
        return given.bytes == found
    if isinstance(found, str) and not isinstance(given, (str, list, dict)):
        return True  # scalars as text: what DuckDB writes, it reads again
    return bool(given == found)


def says_the_same(given: str, found: Any, column: str) -> bool:
    """Text that a column reads."""
    if column == "TIMESTAMPTZ":
        return micros(datetime.fromisoformat(given)) == found
    if isinstance(found, timedelta):
        return True  # what DuckDB reads in text of an interval
    if isinstance(found, bool):
        return given in ("1", "true") if found else given in ("0", "false")
    if is_number(found):
        return column == "FLOAT" or float(given) == float(found)
    if isinstance(found, bytes):
        return given.encode() == found
    return is_kept(datetime.fromisoformat(given), found, column)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_value_is_stored_as_it_is_or_its_row_is_rejected(column: str, tmp_path: Path, zone: str) -> None:
    database = tmp_path / "x.duckdb"
    rejected = write(database, column, VALUES)
    found = stored(database, column)
    assert rejected.isdisjoint(found)
    assert rejected | set(found) == set(range(len(VALUES)))
    changed = [(VALUES[n], value) for n, value in found.items() if not is_kept(VALUES[n], value, column)]
    assert not changed
    # A map takes the dicts of one commit only if they have the same keys; the last two here do not.
    assert found or column.startswith("MAP"), "nothing at all fits"


@pytest.mark.parametrize(
    ("column", "value"),
    [("DECIMAL(5,1)", 1.5), ("DECIMAL(5,1)", "1.5"), ("BOOLEAN", True), ("DOUBLE", 3), ("DATE", datetime(2024, 1, 1)),
     ("TIMESTAMP", date(2024, 1, 1)), ("INTEGER", "12"), ("INTEGER", 3.0), ("BIGINT[]", [1, 2]), ("DOUBLE[]", [1, 2]),
     ("FLOAT", 0.1), ("STRUCT(a INTEGER)", {"a": 1}), ("VARCHAR", 5), ("MAP(VARCHAR, INTEGER)", {"a": 1})],
)
def test_what_fits_without_a_loss_is_not_rejected(column: str, value: Any, tmp_path: Path) -> None:
    assert not write(tmp_path / "x.duckdb", column, [value])


def test_decimals_of_any_scale_stand_in_one_transaction(tmp_path: Path) -> None:
    values = [Decimal("1.5"), Decimal("1" * 25), Decimal("0.123456789"), Decimal("1" * 41), Decimal("1E+5")]
    assert write(tmp_path / "x.duckdb", "DECIMAL(38,9)", values) == {3}
    assert list(stored(tmp_path / "x.duckdb", "DECIMAL(38,9)").values()) == [*values[:3], values[4]]


def test_keys_that_differ_in_case_are_one_column_and_no_value_is_lost(tmp_path: Path) -> None:
    database = tmp_path / "x.duckdb"
    writer: Any = connector.table(database, "t").writer(None, CONTEXT)
    rows = [{"id": 1, "v": 1}, {"id": 2, "V": 2}, {"id": 3, "v": 3, "V": 4}, {"id": 4, "v": None, "V": 5}]
    writer.write(rows)
    with pytest.raises(RowsRejected) as caught:
        writer.commit(b"record")
    assert list(caught.value.reasons) == [2]
    assert "'v' and 'V'" in caught.value.reasons[2]
    writer.write([rows[0], rows[1], rows[3]])
    writer.commit(b"record")
    writer.close()
    with duckdb.connect(str(database)) as made:
        assert made.execute("SELECT id, v FROM t ORDER BY id").fetchall() == [(1, 1), (2, 2), (4, 5)]


def test_a_file_of_the_users_beside_the_database_stays(tmp_path: Path) -> None:
    for name in ("x.duckdb.new", "x.duckdb.new.wal", ".x.duckdb.new"):
        (tmp_path / name).write_text("mine")
    connector.table(tmp_path / "x.duckdb", "t").writer(None, CONTEXT).close()
    assert sorted(os.listdir(tmp_path)) == [".x.duckdb.new", "x.duckdb", "x.duckdb.new", "x.duckdb.new.wal"]
    assert (tmp_path / "x.duckdb.new").read_text() == "mine"


def test_what_a_killed_life_left_of_a_new_database_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".x.duckdb.penstock-abc.new").mkdir()
    connector.table(tmp_path / "x.duckdb", "t").writer(None, CONTEXT).close()
    assert os.listdir(tmp_path) == ["x.duckdb"]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [("TIMESTAMPTZ", datetime(2024, 1, 1, 10), "is taken for UTC"),
     ("TIMESTAMP", datetime(2024, 1, 1, 10, tzinfo=BERLIN), "is stored in UTC, without its zone")],
)
def test_a_time_that_gets_or_loses_a_zone_is_reported_once(
    column: str, value: datetime, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with duckdb.connect(str(tmp_path / "x.duckdb")) as made:
        made.execute(f"CREATE TABLE t (n INTEGER, seen {column})")
    writer: Any = connector.table(tmp_path / "x.duckdb", "t").writer(None, CONTEXT)
    other = value.replace(tzinfo=None if value.tzinfo else UTC)
    for times in ([other], [value, value], [value]):
        writer.write([{"n": n, "seen": seen} for n, seen in enumerate(times)])
        writer.commit(b"record")
    writer.close()
    [told] = [record.getMessage() for record in caplog.records]
    assert "2024-01-01" in told
    assert "'seen'" in told
    assert says in told


def test_numbers_that_are_not_finite_are_stored_as_they_are(tmp_path: Path) -> None:
    values = [float("nan"), float("inf"), -float("inf"), None]
    assert not write(tmp_path / "x.duckdb", "DOUBLE", values)
    assert list(map(str, stored(tmp_path / "x.duckdb", "DOUBLE").values())) == ["nan", "inf", "-inf", "None"]
