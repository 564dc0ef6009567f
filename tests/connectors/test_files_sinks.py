"""Sinks of lines: every row once, wherever the writer is killed; existing output is never touched unasked."""

from __future__ import annotations

import json
import math
import os
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from file_roles import block, journaled, open_writer, read_all, write_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.batch import WrittenLines
from penstock.connectors import files
from penstock.connectors.files import FileSourceOrSink
from penstock.connectors.files.json_encoder import JsonEncoder
from penstock.errors import OutputExists, TargetDamaged
from penstock.sink import Delivery, RowsRejected

in_tmp = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Steps = list[tuple[str, int]]
steps_of_a_life = st.lists(st.tuples(st.sampled_from(["write", "commit", "kill"]), st.integers(1, 4)), max_size=25)


def play(sink: FileSourceOrSink[Any], steps: Steps) -> list[dict[str, int]]:
    """A slot's life: batches written, positions committed, killed at any point. Gives the rows committed in the end."""
    committed: list[dict[str, int]] = []
    pending: list[dict[str, int]] = []
    position: Any = None
    writer = open_writer(sink)
    number = 0
    for verb, rows in steps:
        if verb == "write":
            batch = [{"n": number + row} for row in range(rows)]
            number += rows
            writer.write(batch)
            pending += batch
        elif verb == "commit":
            position = journaled(writer.position())
            committed += pending
            pending = []
        else:
            writer.close()
            writer = open_writer(sink, position)
            pending = []
    committed += pending
    writer.finish()
    writer.close()
    again = open_writer(sink, writer.position())  # killed right after the end
    again.finish()
    again.close()
    return committed


def texts(rows: list[dict[str, int]]) -> list[str]:
    return [msgspec.json.encode(row).decode() for row in rows]


@in_tmp
@given(steps=steps_of_a_life, ending=st.sampled_from(["", ".gz", ".zst"]))
def test_a_file_holds_each_row_once_wherever_the_writer_is_killed(tmp_path: Path, steps: Steps, ending: str):
    sink = files.json_lines(tmp_path / f"out.jsonl{ending}", if_exists="overwrite")
    sink.prepare()
    assert read_all_of(sink, steps) == read_all(files.lines(tmp_path / f"out.jsonl{ending}"))


def read_all_of(sink: FileSourceOrSink[Any], steps: Steps) -> list[str]:
    return texts(play(sink, steps))


@in_tmp
@given(steps=steps_of_a_life)
def test_rolled_files_hold_each_row_once_wherever_the_writer_is_killed(tmp_path: Path, steps: Steps):
    sink = files.json_lines(f"{tmp_path}/out/", roll="30 B", if_exists="overwrite")
    sink.prepare()
    expected = read_all_of(sink, steps)
    names = sorted((tmp_path / "out").iterdir(), key=lambda path: int(path.stem.rpartition("-")[2]))
    assert [line for path in names for line in path.read_text().splitlines()] == expected
    assert all(path.stat().st_size for path in names)
    assert all(path.stat().st_size >= 30 for path in names[:-1])


@in_tmp
@given(steps=steps_of_a_life)
def test_rows_are_appended_once_behind_what_was_there_wherever_the_writer_is_killed(tmp_path: Path, steps: Steps):
    out = tmp_path / "out.jsonl"
    out.write_text("before, without an end")
    sink = files.json_lines(out, if_exists="append")
    sink.prepare()
    assert ["before, without an end", *texts(play(sink, steps))] == out.read_text().splitlines()
    assert os.listdir(tmp_path) == ["out.jsonl"]


@in_tmp
@given(steps=steps_of_a_life)
def test_csv_has_one_header_and_each_row_once_wherever_the_writer_is_killed(tmp_path: Path, steps: Steps):
    sink = files.csv(tmp_path / "out.csv", if_exists="overwrite")
    sink.prepare()
    rows = play(sink, steps)
    assert [{"n": int(row["n"])} for row in read_all(files.csv(tmp_path / "out.csv"))] == rows


def test_several_workers_write_a_file_each(tmp_path: Path):
    sink = files.json_lines(tmp_path / "out.jsonl")
    sink.prepare()
    for slot in range(2):
        writer = open_writer(sink, slot=slot, workers=2)
        writer.write([slot])
        writer.finish()
    assert {path.name: path.read_text() for path in (tmp_path / "out.jsonl").iterdir()} == {
        "part-0.jsonl": "0\n",
        "part-1.jsonl": "1\n",
    }
    with pytest.raises(OutputExists, match=r"part-0\.jsonl"):
        sink.refuse()


def test_a_file_in_the_place_of_a_directory_is_an_error_that_says_what_to_do(tmp_path: Path):
    (tmp_path / "out.jsonl").write_text("")
    with pytest.raises(NotADirectoryError, match="workers=1"):
        open_writer(files.json_lines(tmp_path / "out.jsonl", if_exists="append"), workers=2)


def test_existing_output_is_refused_continued_or_replaced_as_told(tmp_path: Path):
    out = tmp_path / "out.jsonl"
    write_all(files.json_lines(out), [1])
    with pytest.raises(OutputExists, match=r"out\.jsonl"):
        write_all(files.json_lines(out), [2])
    write_all(files.json_lines(out, if_exists="append"), [3])
    assert out.read_text() == "1\n3\n"
    write_all(files.json_lines(out, if_exists="overwrite"), [4])
    assert out.read_text() == "4\n"


def test_replacing_a_directory_removes_only_files_of_that_kind(tmp_path: Path):
    for name in ("part-0.jsonl", "part-3-12.jsonl", ".part-0.jsonl.base", "part-x.jsonl", "notes.txt", "part-0.csv"):
        (tmp_path / name).write_text("old\n")
    files.json_lines(f"{tmp_path}/", if_exists="overwrite").prepare()
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "part-0.csv", "part-x.jsonl"]


def test_appending_to_a_directory_of_rolled_files_begins_a_new_one(tmp_path: Path):
    sink = files.json_lines(f"{tmp_path}/", roll="1 KiB", if_exists="append")
    write_all(sink, [1])
    write_all(sink, [2])
    assert sorted(os.listdir(tmp_path)) == ["part-0-0.jsonl", "part-0-1.jsonl"]


def test_csv_appended_to_keeps_the_header_that_is_there(tmp_path: Path):
    (tmp_path / "x.csv").write_text("b,a\n1,2\n")
    write_all(files.csv(tmp_path / "x.csv", if_exists="append"), [{"a": 3, "b": 4}])
    assert (tmp_path / "x.csv").read_text() == "b,a\n1,2\n4,3\n"


def test_a_row_that_has_no_json_is_rejected_and_the_others_are_written(tmp_path: Path):
    writer = open_writer(files.json_lines(tmp_path / "x.jsonl"))
    with pytest.raises(RowsRejected) as rejected:
        writer.write([1, object(), "é", {(1, 2, 3): object()}])
    assert list(rejected.value.reasons) == [1, 3]
    assert "object" in rejected.value.reasons[1]
    assert (tmp_path / "x.jsonl").read_text() == '1\n"é"\n'


def test_a_row_that_does_not_fit_the_header_is_rejected_and_the_others_are_written(tmp_path: Path):
    writer = open_writer(files.csv(tmp_path / "x.csv"))
    with pytest.raises(RowsRejected) as rejected:
        writer.write([{"a": 1, "b": True}, {"c": 1}, 7, {"a": "\udcff"}, {"b": {"x": [1]}}])
    assert list(rejected.value.reasons) == [1, 2, 3]
    assert (tmp_path / "x.csv").read_text() == 'a,b\n1,true\n,"{""x"":[1]}"\n'


def test_blocks_of_lines_and_columns_are_rows_too(tmp_path: Path):
    import pyarrow

    columns = pyarrow.record_batch({"a": [1, 2]})
    write_all(files.json_lines(tmp_path / "x.jsonl"), block("p", "q"), columns)
    assert (tmp_path / "x.jsonl").read_text() == '"p"\n"q"\n{"a":1}\n{"a":2}\n'
    write_all(files.csv(tmp_path / "x.csv"), columns)
    assert (tmp_path / "x.csv").read_text() == "a\n1\n2\n"


def test_numpy_values_are_written_as_plain_ones(tmp_path: Path):
    import numpy

    write_all(files.json_lines(tmp_path / "x.jsonl"), [{"n": numpy.int64(3), "v": numpy.array([1.5])}])
    assert (tmp_path / "x.jsonl").read_text() == '{"n":3,"v":[1.5]}\n'


@pytest.fixture
def full_disk() -> Iterator[Any]:
    """Call it with a size: no file can grow beyond that."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_disk_that_is_full_is_loud_and_leaves_what_can_be_continued(tmp_path: Path, full_disk: Any):
    sink = files.json_lines(tmp_path / "x.jsonl")
    writer = open_writer(sink)
    writer.write(["a" * 50])
    position = writer.position()
    full_disk(100)
    with pytest.raises(OSError, match=r"x\.jsonl"):
        writer.write(["b" * 500])
    assert (tmp_path / "x.jsonl").stat().st_size == position["length"] == 53
    full_disk(resource.RLIM_INFINITY)
    again = open_writer(sink, position)
    again.write(["c"])
    assert (tmp_path / "x.jsonl").read_text() == f'"{"a" * 50}"\n"c"\n'


def test_output_that_somebody_shortened_is_not_continued(tmp_path: Path):
    sink = files.json_lines(tmp_path / "x.jsonl")
    writer = open_writer(sink)
    writer.write(["abc"])
    position = writer.position()
    os.truncate(tmp_path / "x.jsonl", 2)
    with pytest.raises(TargetDamaged, match="6 bytes were written to it, but it has 2"):
        open_writer(sink, position)


def test_options_of_the_other_role_are_found_before_the_run(tmp_path: Path):
    assert "follow" in files.json_lines("x.jsonl", follow=True).check_sink()[0]
    assert "roll" in files.json_lines(tmp_path, roll="1 GiB").check_source()[-1]
    assert "if_exists" in files.csv(tmp_path, if_exists="append").check_source()[-1]
    assert "give a directory" in files.json_lines("x.jsonl", roll="1 GiB").check_sink()[0]
    assert "is a pattern" in files.csv("x*.csv").check_sink()[0]
    assert "one path" in files.csv(["a", "b"]).check_sink()[0]
    assert "is not a size" in files.json_lines("x/", roll="big").check_sink()[0]
    assert files.json_lines("x/", roll="1 GiB").check_sink() == []


def test_a_target_that_cannot_be_made_is_found_before_the_run(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "is a file" in files.csv(tmp_path / "file" / "x.csv").check_sink()[0]
    assert "is a file" in files.csv(f"{tmp_path}/file/").check_sink()[0]


def test_a_sink_is_named_after_its_path():
    names = [sink.sink_label for sink in (files.parquet("per_user/"), files.json_lines("x/Über late.jsonl.gz"))]
    assert names == ["parquet-per_user", "json_lines-ber-late"]
    assert files.csv("x.csv").label == "csv"
    assert files.csv("x.csv").delivery is Delivery.EXACTLY_ONCE


PLAIN_COLUMNS = {
    "whole": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(),
    "text": st.text(st.characters(exclude_categories=["Cs"])),
    "truth": st.booleans(),
}


plain_rows = st.fixed_dictionaries({name: st.none() | values for name, values in PLAIN_COLUMNS.items()})


@given(st.lists(plain_rows, max_size=9))
def test_columns_are_written_by_polars_as_they_are_row_by_row(rows: list[dict[str, Any]]) -> None:
    polars = pytest.importorskip("polars")
    kinds = {"whole": polars.Int64, "real": polars.Float64, "text": polars.String, "truth": polars.Boolean}
    frame = polars.DataFrame(rows, schema=kinds)
    encoder = JsonEncoder()
    written, one_by_one = encoder.encode(frame.to_arrow()), encoder.encode(frame.to_dicts())
    by_columns, by_rows = written.data, one_by_one.data
    unwritable = [index for index, row in enumerate(rows) if not math.isfinite(row["real"] or 0.0)]
    assert sorted(written.rejected) == sorted(one_by_one.rejected) == unwritable
    assert by_columns.count(b"\n") == by_rows.count(b"\n") == len(rows) - len(unwritable)
    # The same values; of a number's exponent there are two spellings.
    assert [msgspec.json.decode(line) for line in by_columns.splitlines()] == [
        msgspec.json.decode(line) for line in by_rows.splitlines()
    ]


def test_columns_that_polars_writes_otherwise_are_written_row_by_row() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"at": [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)], "many": [[1, 2]]})
    assert msgspec.json.decode(JsonEncoder().encode(frame).data) == {"at": "2026-01-02T03:04:05Z", "many": [1, 2]}


def test_lines_that_the_sender_encoded_are_written_as_they_are(tmp_path: Path) -> None:
    sink = files.json_lines(tmp_path / "x.jsonl")
    assert sink.text is not None
    writer = open_writer(sink)
    writer.write(WrittenLines(sink.text([{"n": 1}, {"n": 2}]).data, 0))
    writer.write([{"n": 3}])
    assert writer.position()["length"] == (tmp_path / "x.jsonl").stat().st_size
    writer.close()
    assert (tmp_path / "x.jsonl").read_text() == '{"n":1}\n{"n":2}\n{"n":3}\n'


@pytest.mark.parametrize("write", [files.json_lines, files.csv, files.parquet])
def test_a_name_that_leaves_no_room_for_hidden_files_is_a_mistake(tmp_path: Path, write: Any) -> None:
    assert not write(tmp_path / ("x" * 230 + ".dat")).check_sink()
    for name in ("x" * 245, "é" * 123, "x" * 300 + "/out"):
        [found] = write(tmp_path / name).check_sink()
        assert "only 244 are possible" in found


class Reading(msgspec.Struct):
    at: str
    value: float
    note: str | None = None


NAN, INFINITY = float("nan"), float("inf")
NOT_FINITE: list[Any] = [
    {"v": NAN}, {"v": INFINITY}, {"v": -INFINITY}, {"a": {"b": [1.0, None, NAN]}}, [1, NAN], NAN, Reading("x", NAN),
    {"v": NAN, "whole": 2**70},
]
FINITE: list[Any] = [
    {"v": 1.5}, {"v": None}, {"v": "null"}, [None], None, Reading("x", 0.5), {"v": "\xcb\x7f\xf8", "n": None},
]


@pytest.mark.parametrize("row", NOT_FINITE, ids=repr)
def test_a_number_that_json_lacks_rejects_only_its_own_row(row: Any, tmp_path: Path) -> None:
    sink: Any = files.json_lines(tmp_path / "out.jsonl")
    writer = open_writer(sink)
    with pytest.raises(RowsRejected) as caught:
        writer.write([*FINITE, row, *FINITE])
    writer.finish()
    writer.close()
    assert list(caught.value.reasons) == [len(FINITE)]
    assert 'which JSON cannot represent; files.json_lines(path, nan="null")' in caught.value.reasons[len(FINITE)]
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line) for line in lines] == [msgspec.to_builtins(found) for found in FINITE * 2]


def test_the_field_that_is_not_finite_is_named() -> None:
    text = JsonEncoder().encode([{"a": {"b": [1.0, NAN]}, "c": None}])
    assert "field 'a.b[1]' is nan" in text.rejected[0]


def test_null_is_written_for_them_where_it_is_asked_for(tmp_path: Path) -> None:
    sink: Any = files.json_lines(tmp_path / "out.jsonl", nan="null")
    write_all(sink, [{"v": NAN}, {"v": -INFINITY}])
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"v":null}\n{"v":null}\n'
    assert sink.text([{"v": NAN}]).data == b'{"v":null}\n'


@pytest.mark.parametrize("package", ["polars", "pyarrow"])
def test_columns_with_numbers_that_json_lacks_lose_those_rows_only(package: str) -> None:
    columns = pytest.importorskip(package)
    table = (columns.DataFrame if package == "polars" else columns.table)({"n": [1, 2, 3], "v": [0.5, NAN, None]})
    text = JsonEncoder().encode(table)
    assert list(text.rejected) == [1]
    assert text.data == b'{"n":1,"v":0.5}\n{"n":3,"v":null}\n'


def test_csv_has_numbers_that_are_not_finite_though_not_in_nested_values(tmp_path: Path) -> None:
    writer = open_writer(files.csv(tmp_path / "out.csv"))
    with pytest.raises(RowsRejected) as caught:
        writer.write([{"v": NAN, "w": [1.0, None]}, {"v": -INFINITY, "w": [NAN]}, {"v": 1.5, "w": None}])
    writer.close()
    assert list(caught.value.reasons) == [1]
    assert (tmp_path / "out.csv").read_text() == 'v,w\nnan,"[1.0,null]"\n1.5,\n'


@pytest.mark.parametrize(("option", "problem"), [("none", "is unknown"), (None, "is unknown")])
def test_an_unknown_way_with_them_is_refused(option: Any, problem: str, tmp_path: Path) -> None:
    assert any(problem in found for found in files.json_lines(tmp_path / "out.jsonl", nan=option).check_sink())
    (tmp_path / "in.jsonl").write_text("")
    assert any("no effect" in found for found in files.json_lines(tmp_path / "in.jsonl", nan="null").check_source())


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["\ud800", "\n", "\u2028", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(documents, max_size=5))
def test_each_row_is_the_line_that_any_reader_of_json_reads_back_or_is_rejected(rows: list[Any]) -> None:
    written = JsonEncoder().encode(rows)
    kept = [row for index, row in enumerate(rows) if index not in written.rejected]
    lines = written.data.decode().split("\n")
    assert lines.pop() == ""
    assert [repr(json.loads(line)) for line in lines] == list(map(repr, kept))
