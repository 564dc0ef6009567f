"""Parquet: every row once, wherever the writer is killed; columns by the type or by the first rows."""

from __future__ import annotations

import datetime
import decimal
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.parquet as parquet
import pytest
from file_roles import block, context, journaled, open_writer, rest, write_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import columns
from penstock.connectors import files
from penstock.connectors.files import parquet_reader
from penstock.connectors.files.arrow_schema import schema_of
from penstock.connectors.files.column_spool import Spool
from penstock.connectors.files.parquet_files import group_ranges
from penstock.errors import OutputExists, SourceDamaged, TargetDamaged
from penstock.sink import RowsRejected

in_tmp = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Stop(Exception):
    """Stands for a kill."""


class Alarm(msgspec.Struct):
    sensor: str
    score: float
    note: str | None = None


class Inner(msgspec.Struct):
    a: int


@dataclass
class Outer:
    day: datetime.date
    inner: Inner
    words: list[str]
    price: decimal.Decimal
    anything: Any
    maybe: float | None


def column(folder: Path, name: str = "n") -> list[Any]:
    """A column over all files of a directory, in the order of their numbers."""
    paths = sorted(folder.glob("*.parquet"), key=lambda path: int(path.stem.rpartition("-")[2]))
    return [value for path in paths for value in parquet.read_table(path)[name].to_pylist()]


@in_tmp
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["write", "write", "commit", "kill", "kill while completing"]), st.integers(1, 30)),
        max_size=20,
    ),
    killed_at_end=st.booleans(),
    roll=st.sampled_from(["1 B", "600 B", "1 MiB"]),
)
def test_each_row_is_written_once_wherever_the_writer_is_killed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], killed_at_end: bool, roll: str
):
    folder = tmp_path_factory.mktemp("out")
    sink = files.parquet(f"{folder}/", roll=roll)
    sink.prepare()
    writer, position = open_writer(sink), None
    committed: list[int] = []
    pending: list[int] = []
    number = 0
    for verb, rows in steps:
        if verb == "write":
            batch = list(range(number, number + rows))
            number += rows
            writer.write([{"n": n} for n in batch])
            pending += batch
        elif verb == "commit":
            position = journaled(writer.position())
            committed, pending = committed + pending, []
        else:
            if verb == "kill while completing" and not pending:
                writer.finish()
            writer.close()
            writer, pending = open_writer(sink, position), []
    position = journaled(writer.position())
    if killed_at_end:
        writer.finish()
        writer.close()
        writer = open_writer(sink, position)
    writer.finish()
    writer.close()
    assert column(folder) == committed + pending
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


@pytest.mark.parametrize("point", ["rename", "unlink"])
def test_rolling_that_is_killed_in_the_middle_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
):
    sink = files.parquet(f"{tmp_path}/", roll="1 B")
    writer = open_writer(sink)
    writer.write([{"n": 1}])
    position = journaled(writer.position())
    writer.write([{"n": 2}])  # rolls: file 0 is complete, its spool gone, nothing of it committed

    def killed(*_: Any) -> None:
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(os, point, killed)
        with pytest.raises(Stop):
            writer.write([{"n": 3}])
    for _ in range(2):  # a second kill, right after opening
        writer = open_writer(sink, position)
    writer.write([{"n": 20}])
    writer.finish()
    assert column(tmp_path) == [1, 20]


def test_a_spool_made_again_is_not_longer_than_the_position_says(tmp_path: Path):
    sink = files.parquet(f"{tmp_path}/", roll="1500 B")
    writer = open_writer(sink)
    writer.write([{"n": 1}, {"n": 2}])
    position = journaled(writer.position())
    for number in range(3, 20):
        writer.write([{"n": number}])
    assert "part-0-0.parquet" in os.listdir(tmp_path)
    writer = open_writer(sink, position)
    writer.write([{"n": 30}])
    writer.finish()
    assert column(tmp_path) == [1, 2, 30]


def test_a_torn_spool_is_cut_and_a_damaged_one_is_an_error(tmp_path: Path):
    path = str(tmp_path / "x")
    spool = Spool(path, 0)
    spool.append(pyarrow.table({"n": [1, 2]}))
    whole = spool.length
    spool.append(pyarrow.table({"n": [3]}))
    os.truncate(path, spool.length - 10)
    assert Spool(path, 2).length == whole == os.path.getsize(path)
    os.truncate(path, whole - 10)
    with pytest.raises(TargetDamaged, match="2 rows"):
        Spool(path, 2)


def test_a_file_appears_when_it_is_complete(tmp_path: Path):
    sink = files.parquet(tmp_path / "x.parquet")
    sink.prepare()
    writer = open_writer(sink)
    writer.write([Alarm("a", 1), Alarm("b", 2, "hot")])
    assert not (tmp_path / "x.parquet").exists()
    writer.finish()
    writer.finish()
    assert os.listdir(tmp_path) == ["x.parquet"]
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.schema.equals(
        pyarrow.schema({"sensor": pyarrow.string(), "score": pyarrow.float64(), "note": pyarrow.string()})
    )
    with pytest.raises(OutputExists):
        sink.refuse()


def test_a_column_of_nothing_but_none_takes_its_type_from_later_rows(tmp_path: Path):
    sink = files.parquet(f"{tmp_path}/")
    write_all(sink, [{"n": 1, "note": None}], [{"n": 2, "note": "x"}], [{"n": 3, "note": None}])
    assert column(tmp_path, "note") == [None, "x", None]


def test_a_row_that_does_not_fit_is_rejected_and_the_others_are_written(tmp_path: Path):
    writer = open_writer(files.parquet(f"{tmp_path}/"))
    writer.write([{"n": 1}])
    with pytest.raises(RowsRejected) as rejected:
        writer.write([{"n": 2}, {"n": "two"}, {"n": 3, "m": 1}, 7, {}, {"n": 4}])
    assert list(rejected.value.reasons) == [1, 2, 3]
    assert "field 'm' is not among the columns (n)" in rejected.value.reasons[2]
    writer.finish()
    assert column(tmp_path) == [1, 2, None, 4]


def test_columns_and_lines_are_rows_too(tmp_path: Path):
    sink = files.parquet(f"{tmp_path}/a/")
    write_all(sink, pyarrow.record_batch({"n": [1, 2]}), [{"n": 3}], pyarrow.table({"n": pyarrow.array([4], "int8")}))
    assert column(tmp_path / "a") == [1, 2, 3, 4]
    write_all(files.parquet(f"{tmp_path}/b/"), block("x", "y"))
    assert column(tmp_path / "b", "value") == ["x", "y"]


def test_columns_that_do_not_fit_are_rejected_row_by_row(tmp_path: Path):
    writer = open_writer(files.parquet(f"{tmp_path}/"))
    writer.write([{"n": 1}])
    with pytest.raises(RowsRejected) as rejected:
        writer.write(pyarrow.table({"n": [2.0, 2.5]}))
    assert list(rejected.value.reasons) == [1]
    writer.finish()
    assert column(tmp_path) == [1, 2]


def test_annotations_tell_the_columns(tmp_path: Path):
    assert schema_of(Outer).equals(
        pyarrow.schema(
            {
                "day": pyarrow.date32(),
                "inner": pyarrow.struct({"a": pyarrow.int64()}),
                "words": pyarrow.list_(pyarrow.string()),
                "price": pyarrow.decimal128(38, 18),
                "anything": pyarrow.null(),
                "maybe": pyarrow.float64(),
            }
        )
    )
    assert schema_of(dict[str, Any]) is schema_of(int) is schema_of(Any) is None
    write_all(
        files.parquet(f"{tmp_path}/"),
        [Outer(datetime.date(2024, 1, 2), Inner(3), ["x"], decimal.Decimal("1.5"), {"k": 1}, None)],
        [Outer(datetime.date(2024, 1, 3), Inner(4), [], decimal.Decimal("100.25"), {"k": 2}, 1)],
    )
    assert column(tmp_path, "price") == [decimal.Decimal("1.5"), decimal.Decimal("100.25")]
    assert column(tmp_path, "anything") == [{"k": 1}, {"k": 2}]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, 2.5),
        (datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, 5)),
        ([1], [2, 2.5]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1.5}]}),
        ("text", 1),
        (1, True),
    ],
)
def test_a_value_is_never_cut_down_to_its_columns_type(tmp_path: Path, first: Any, second: Any):
    writer = open_writer(files.parquet(f"{tmp_path}/"))
    writer.write([{"n": first}])
    with pytest.raises(RowsRejected) as rejected:
        writer.write([{"n": second}])
    assert list(rejected.value.reasons) == [0]


def test_a_class_whose_annotations_cannot_be_looked_up_gives_columns_by_its_values(tmp_path: Path):
    class Hidden(msgspec.Struct):
        n: int

    class Local(msgspec.Struct):
        n: int
        h: Hidden

    write_all(files.parquet(f"{tmp_path}/"), [Local(1, Hidden(2))])
    assert column(tmp_path, "h") == [{"n": 2}]


@in_tmp
@given(sizes=st.lists(st.integers(1, 9), max_size=5), block_bytes=st.integers(1, 100))
def test_a_reader_opened_at_any_position_gives_exactly_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int], block_bytes: int
):
    monkeypatch.setattr(parquet_reader, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "x.parquet"
    with parquet.ParquetWriter(path, pyarrow.schema({"n": pyarrow.int64()})) as writer:
        for size in sizes:
            writer.write_table(pyarrow.table({"n": list(range(size))}))
    expected = [{"n": n} for size in sizes for n in range(size)]
    source = files.parquet(path)
    (split,) = source.splits().values()
    reader = source.open(split, None, context())
    done = 0
    while done < len(expected):
        batch: Any = reader.read()
        done += batch.num_rows
        assert rest(source.open(split, journaled(reader.position()), context())) == expected[done:]
    assert rest(reader) == []


def test_a_large_file_is_shared_by_its_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import penstock.connectors.files.parquet_files as parquet_files

    monkeypatch.setattr(parquet_files, "RANGE_BYTES", 300)
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"n": list(range(100))}), path, row_group_size=10)
    source = files.parquet(path)
    splits = source.splits()
    assert 1 < len(splits) <= 10
    rows = [row["n"] for split in splits.values() for row in rest(source.open(split, None, context()))]
    assert rows == list(range(100))


@given(sizes=st.lists(st.integers(0, 50 * 2**20), max_size=20))
def test_ranges_of_row_groups_cover_all_of_them_once(sizes: list[int]):
    covered = [number for start, end in group_ranges(sizes) for number in range(start, end)]
    assert covered == list(range(len(sizes)))


def test_ranges_of_row_groups_are_of_one_size():
    mib = 2**20
    assert group_ranges([10 * mib] * 5) == [(0, 3), (3, 5)]
    assert group_ranges([20 * mib] * 2) == [(0, 1), (1, 2)]
    assert group_ranges([30 * mib]) == [(0, 1)]
    assert group_ranges([4 * mib] * 24) == [(0, 8), (8, 16), (16, 24)]


def test_a_file_that_is_not_parquet_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "x.parquet").write_text("nonsense")
    source = files.parquet(tmp_path / "x.parquet")
    (split,) = source.splits().values()
    with pytest.raises(SourceDamaged, match=r"x\.parquet"):
        source.open(split, None, context())


def test_appending_makes_new_files_in_a_directory_and_is_refused_for_one_file(tmp_path: Path):
    assert "cannot be appended to" in files.parquet("x.parquet", if_exists="append").check_sink()[0]
    sink = files.parquet(f"{tmp_path}/", if_exists="append")
    write_all(sink, [{"n": 1}])
    write_all(sink, [{"n": 2}])
    assert column(tmp_path) == [1, 2]
    assert len(os.listdir(tmp_path)) == 2


def test_a_missing_package_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert "penstock[arrow]" in files.parquet("x/").check_sink()[0]
    assert "penstock[zstd]" in files.json_lines("x.jsonl.zst").check_sink()[0]


def test_columns_of_nothing_but_empty_objects_are_written_as_nulls_until_a_field_is_seen(tmp_path: Path):
    sink = files.parquet(f"{tmp_path}/")
    writer = open_writer(sink)
    writer.write([{"id": 1, "meta": {}, "deep": {"a": {}, "b": [{}], "c": 1}}])
    writer.write([{"id": 2, "meta": {"k": 1}, "deep": None}])
    writer.write([{"id": 3, "meta": {}, "deep": {"a": {}, "b": [{}], "c": 3}}])
    writer.finish()
    rows = pyarrow.parquet.read_table(tmp_path).to_pylist()
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert [row["meta"] for row in rows] == [None, {"k": 1}, {"k": None}]
    assert [row["deep"] and row["deep"]["c"] for row in rows] == [1, None, 3]


def test_a_column_of_empty_objects_alone_is_written(tmp_path: Path):
    sink = files.parquet(tmp_path / "x.parquet")
    write_all(sink, [{"id": n, "meta": {}} for n in range(5)])
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").num_rows == 5
    table = pyarrow.table({"id": [1], "meta": pyarrow.array([{}], pyarrow.struct([]))})
    write_all(files.parquet(tmp_path / "y.parquet"), table)
    assert pyarrow.parquet.read_table(tmp_path / "y.parquet").num_rows == 1


def test_a_type_that_parquet_lacks_is_rejected_by_row_and_the_file_finishes(tmp_path: Path):
    writer = open_writer(files.parquet(tmp_path / "x.parquet"))
    interval = pyarrow.array([(1, 2, 3)], pyarrow.month_day_nano_interval())
    with pytest.raises(RowsRejected) as caught:
        writer.write(pyarrow.table({"n": [1], "i": interval}))
    assert list(caught.value.reasons) == [0]
    writer.write([{"n": 2}])
    writer.finish()
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist() == [{"n": 2}]


def test_no_rows_give_a_file_with_the_columns_of_the_type(tmp_path: Path):
    class Reading(msgspec.Struct):
        sensor: str
        value: float

    for target in (tmp_path / "x.parquet", f"{tmp_path}/d/"):
        write_all(files.parquet(target, Reading))
        found = pyarrow.parquet.read_table(target)
        assert (found.num_rows, found.column_names) == (0, ["sensor", "value"])
    write_all(files.parquet(tmp_path / "untyped.parquet"))
    assert not (tmp_path / "untyped.parquet").exists()


class Counted(msgspec.Struct):
    n: int
    counts: dict[str, int]
    by_number: dict[int, list[float]] | None = None


def test_dicts_of_any_keys_are_written_as_maps_and_read_as_dicts(tmp_path: Path):
    rows = [Counted(n, {f"k{n}": n}, {n: [n / 2]} if n % 2 else None) for n in range(50)]
    write_all(files.parquet(f"{tmp_path}/", type=Counted), rows[:20], rows[20:])
    (path,) = tmp_path.glob("*.parquet")
    table = parquet.read_table(path)
    assert table.schema.field("counts").type == pyarrow.map_(pyarrow.string(), pyarrow.int64())
    assert columns.table_to_rows(table, Counted) == rows


def test_a_value_that_a_map_would_change_is_rejected(tmp_path: Path):
    writer = open_writer(files.parquet(f"{tmp_path}/"))
    with pytest.raises(RowsRejected) as rejected:
        writer.write([Counted(1, {"a": 1}), Counted(2, {"a": 1.5}), Counted(3, {})])  # type: ignore[dict-item]
    assert list(rejected.value.reasons) == [1]
    writer.finish()
    assert column(tmp_path) == [1, 3]


LOCAL, AWARE = datetime.datetime(2024, 1, 1, 10), datetime.datetime(2024, 1, 1, 10, tzinfo=datetime.UTC)
SHAPES: list[Any] = [lambda at: at, lambda at: [at], lambda at: {"at": at}]


@pytest.mark.parametrize(("first", "other"), [(LOCAL, AWARE), (AWARE, LOCAL)], ids=["local", "aware"])
@pytest.mark.parametrize("shape", SHAPES, ids=["plain", "list", "struct"])
@pytest.mark.parametrize("together", [True, False])
def test_times_with_and_without_a_zone_are_no_one_column(
    together: bool, shape: Any, first: datetime.datetime, other: datetime.datetime, tmp_path: Path
) -> None:
    rows = [{"n": 0, "at": shape(first)}, {"n": 1, "at": shape(other)}, {"n": 2, "at": shape(first)}]
    rejected = []
    writer = open_writer(files.parquet(tmp_path / "out.parquet"))
    for batch in [rows] if together else [[row] for row in rows]:
        try:
            writer.write(batch)
        except RowsRejected as exc:
            rejected += [batch[index]["n"] for index in exc.reasons]
            assert "does not fit the column's type timestamp" in str(exc.reasons)
    writer.finish()
    writer.close()
    assert rejected == [1]
    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert found == [rows[0], rows[2]]


@pytest.mark.parametrize(("first", "other"), [(LOCAL, AWARE), (AWARE, LOCAL)], ids=["local", "aware"])
def test_columns_of_times_keep_their_zone_or_are_rejected(
    first: datetime.datetime, other: datetime.datetime, tmp_path: Path
) -> None:
    writer = open_writer(files.parquet(tmp_path / "out.parquet"))
    writer.write(pyarrow.table({"at": [first, first]}))
    with pytest.raises(RowsRejected) as caught:
        writer.write(pyarrow.table({"at": [other, None]}))
    writer.finish()
    writer.close()
    assert list(caught.value.reasons) == [0]
    assert [row["at"] for row in parquet.read_table(tmp_path / "out.parquet").to_pylist()] == [first, first, None]
