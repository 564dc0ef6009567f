"""What a reader cannot make rows of: single rows are set aside, once; damage ends the run at once or is skipped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from penstock.batch import Lines
from penstock.connectors import files
from penstock.engine import engine
from penstock.slot.records.life import Crash
from penstock.source import EndOfSplit, Reader, Rejected, Source, WithRejected
from penstock.testing import ListSink


def letters_of(app: ps.Pipeline, where: Any) -> list[ps.DeadLetter]:
    return list(ps.read_dead_letters(app.name, state_dir=where["state_dir"]))


def lines(rows: list[str]) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


DAMAGED: dict[str, tuple[str, Callable[[Any], Source[Any]], bytes, str]] = {
    "gzip that breaks off": (
        "x.gz", files.lines, gzip.compress(lines([f"line {n * 7919 % 10007}" for n in range(9000)]))[:-30],
        "ends in the middle",
    ),
    "header": ("x.csv", files.csv, b'a,"b\n1,2\n', "the header cannot be read"),
    "returns": ("x.csv", files.csv, b"a,b\r1,2\r", "carriage return only"),
    "utf-16": ("x.log", files.lines, "a\nb\n".encode("utf-16"), 'pass encoding="utf-16"'),
    "no parquet": ("x.parquet", files.parquet, b"PAR1 or not", "it is not a Parquet file"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_ends_the_run_in_the_first_life(where: Any, tmp_path: Path, kind: str) -> None:
    name, make, data, told = DAMAGED[kind]
    (tmp_path / name).write_bytes(data)
    app, out = ps.Pipeline("damaged"), ListSink[Any]()
    app.source(make(tmp_path / name), name="read").sink(out, name="out")
    with pytest.raises(ps.PipelineFailed, match=told) as caught:
        app.run(**where)
    assert caught.value.stage == "read"
    assert str(tmp_path / name) in caught.value.reason
    assert caught.value.report.stages["read"].restarts == 0


def test_a_repaired_file_is_resumed(where: Any, tmp_path: Path) -> None:
    rows = [f"line {n * 7919 % 1000003}" for n in range(200_000)]
    whole = gzip.compress(lines(rows))
    (tmp_path / "x.gz").write_bytes(whole[: len(whole) // 2])
    app, out = ps.Pipeline("damaged"), ListSink[str]()
    app.source(files.lines(tmp_path / "x.gz"), name="read").sink(out, name="out")
    with pytest.raises(ps.PipelineFailed, match="ends in the middle"):
        app.run(**where)
    (tmp_path / "new").write_bytes(whole)
    (tmp_path / "new").rename(tmp_path / "x.gz")
    app.run(**where)
    assert out.rows == rows


def test_damaged_files_are_skipped_named_and_counted_where_that_is_asked_for(where: Any, tmp_path: Path) -> None:
    good = {f"good{n}.gz": [f"{n}-{row}" for row in range(1000)] for n in range(3)}
    for name, rows in good.items():
        (tmp_path / name).write_bytes(gzip.compress(lines(rows)))
    (tmp_path / "bad.gz").write_bytes(gzip.compress(lines(["half"] * 1000))[:-10])
    (tmp_path / "none.gz").write_bytes(b"this is no gzip at all")
    app, out = ps.Pipeline("some-damaged"), ListSink[str]()
    source = app.source(files.lines(tmp_path / "*.gz", on_damaged="skip"), name="read", workers=2)
    source.stage("use").map(str).sink(out, name="out")
    report = app.run(**where)
    found = letters_of(app, where)
    assert sorted(letter.row for letter in found) == [str(tmp_path / "bad.gz"), str(tmp_path / "none.gz")]
    assert all("the rest of it is skipped" in letter.error and letter.row in letter.error for letter in found)
    assert (report.dead_letters, report.stages["read"].dead_letters) == (2, 2)
    assert sorted(row for row in out.rows if row != "half") == sorted(row for rows in good.values() for row in rows)
    assert not report.stages["read"].restarts


class Halves(Source[int]):
    """Gives 0 to 999 in batches of 50, and rejects every seventh; as many lines, of which every tenth is no text."""

    def __init__(self, *, as_lines: bool = False) -> None:
        self.as_lines = as_lines

    @property
    def label(self) -> str:
        return "halves"

    def open(self, split: Any, position: Any, context: ps.Context) -> Reader[Any]:
        return HalvesReader(position or 0, self.as_lines)


class HalvesReader(Reader[Any]):
    def __init__(self, at: int, as_lines: bool) -> None:
        self.at = at
        self.as_lines = as_lines

    def read(self) -> Any:
        if self.at >= 1000:
            raise EndOfSplit
        rows = range(self.at, self.at + 50)
        self.at += 50
        if self.as_lines:
            return Lines(b"".join(b"\xff%d\n" % n if n % 10 == 0 else b"%d\n" % n for n in rows), rows[0] + 1)
        rejected = {index: Rejected(f"raw {n}", f"row {n} is half") for index, n in enumerate(rows) if n % 7 == 0}
        return WithRejected(list(rows), rejected)

    def position(self) -> int:
        return self.at


@pytest.mark.parametrize(
    "point", ["in_user_code", "before_append", "after_append", "before_commit", "after_commit", "after_publish"]
)
def test_rejected_rows_are_set_aside_once_wherever_the_worker_dies(where: Any, point: str) -> None:
    app, out = ps.Pipeline("halves"), ListSink[int]()
    app.source(Halves(), name="read").map(lambda n: n).sink(out, name="out")
    report = engine.start(app.plan(), crashes={"read": (Crash(point, 300),)}, **where).wait()
    assert report.stages["read"].restarts == 1
    assert out.rows == [n for n in range(1000) if n % 7]
    found = letters_of(app, where)
    assert [(letter.row, letter.error) for letter in found] == [
        (f"raw {n}", f"row {n} is half") for n in range(0, 1000, 7)
    ]
    assert report.stages["read"].dead_letters == len(found)


def test_lines_of_any_reader_that_are_no_text_are_set_aside(where: Any) -> None:
    app, out = ps.Pipeline("halves"), ListSink[str]()
    app.source(Halves(as_lines=True), name="read").stage("use").map(str).sink(out, name="out")
    app.run(**where)
    assert out.rows == [str(n) for n in range(1000) if n % 10]
    found = letters_of(app, where)
    assert [letter.row for letter in found] == [b"\xff%d" % n for n in range(0, 1000, 10)]
    assert found[1].error.startswith("all, line 11: it is not utf-8")


@pytest.mark.parametrize("policy", ["skip", "fail"])
def test_rejected_rows_obey_the_policy_of_the_sources_stage(where: Any, policy: str) -> None:
    app, out = ps.Pipeline("halves"), ListSink[int]()
    on_error = ps.skip() if policy == "skip" else ps.fail()
    app.source(Halves(), name="read", on_error=on_error).sink(out, name="out")
    if policy == "fail":
        with pytest.raises(ps.PipelineFailed, match="row 0 is half"):
            app.run(**where)
        return
    assert app.run(**where).stages["read"].skipped == len(range(0, 1000, 7))
    assert out.rows == [n for n in range(1000) if n % 7]


def test_broken_records_are_set_aside_once_though_the_reader_is_killed(where: Any, tmp_path: Path) -> None:
    with (tmp_path / "x.csv").open("w") as file:
        file.write("id,name\n")
        for n in range(20_000):
            file.write(f'{n},"open\n' if n % 1000 == 500 else f"{n},name{n}\n")
    app, out = ps.Pipeline("csv"), ListSink[dict[str, str]]()
    app.source(files.csv(tmp_path / "x.csv"), name="read").sink(out, name="out")
    report = engine.start(app.plan(), crashes={"read": (Crash("after_append", 9000),)}, **where).wait()
    assert report.stages["read"].restarts == 1
    assert [int(row["id"]) for row in out.rows] == [n for n in range(20_000) if n % 1000 != 500]
    found = letters_of(app, where)
    assert [letter.row for letter in found] == [b'%d,"open' % n for n in range(500, 20_000, 1000)]
    assert found[0].error.startswith(f"{tmp_path / 'x.csv'}, line 502: a quote in it is ")


def test_one_bad_value_of_a_parquet_file_costs_one_row(where: Any, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    far = 253402300800 * 10**6
    times = pa.array([far if n == 77 else n for n in range(1000)], pa.timestamp("us"))
    data = bytes(0xFF if n == 400 else 97 for n in range(1000))
    ends = pa.array(range(1001), pa.int32()).buffers()[1]
    texts = pa.StringArray.from_buffers(1000, ends, pa.py_buffer(data))
    pq.write_table(pa.table({"n": range(1000), "t": times, "s": texts}), tmp_path / "x.parquet")
    bad = {77, 400}
    for name, use in {"one": lambda row: row["n"], "key": None, "write": None}.items():
        app, out = ps.Pipeline(f"parquet-{name}"), ListSink[Any]()
        read = app.source(files.parquet(tmp_path / "x.parquet"), name="read")
        if name == "write":
            read.sink(files.json_lines(tmp_path / "out.jsonl"), name="out")
        elif name == "key":
            read.stage("use", workers=2).key_by(lambda row: row["n"]).map(lambda row: row["n"]).sink(out, name="out")
        else:
            read.stage("use").map(use).sink(out, name="out")
        report = app.run(run_dir=where["run_dir"], state_dir=where["state_dir"])
        assert report.dead_letters == 2, name
        got = sorted(out.rows)
        if name == "write":
            got = [json.loads(line)["n"] for line in (tmp_path / "out.jsonl").open()]
        assert got == [n for n in range(1000) if n not in bad], name
        found = {letter.row["n"]: letter for letter in letters_of(app, where)}
        assert found.keys() == bad
        assert found[400].row["s"] == b"\xff" and "column 's'" in found[400].error


def test_the_rows_of_a_typed_parquet_file_that_do_not_fit_are_set_aside(where: Any, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"n": range(100)}), tmp_path / "x.parquet")
    app, out = ps.Pipeline("typed-parquet"), ListSink[int]()
    source = app.source(files.parquet(tmp_path / "x.parquet", Even), name="read")
    source.map(lambda row: row.n).sink(out, name="out")
    assert app.run(**where).dead_letters == 50
    assert out.rows == list(range(0, 100, 2))


class Even(msgspec.Struct):
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError(f"{self.n} is odd")
