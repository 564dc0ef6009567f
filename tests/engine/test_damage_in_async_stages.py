"""Rows that are none in stages of coroutines and of gathered calls: good ones come through once, bad ones are letters.

A bad row is one that cannot be decoded, a line that its source rejects, columns that no row can be made of, or one
whose function raises. A worker is killed among them.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest

import penstock as ps
from penstock.connectors import files
from penstock.testing import ListSink

ROWS = 600
KILLS_AT = 301
LATE = 10**18
"""Microseconds since 1970 for which Python has no date."""


def is_none(n: int) -> bool:
    return n % 7 == 3


def fails(n: int) -> bool:
    return n % 11 == 5 and not is_none(n)


GOOD = [n for n in range(ROWS) if not is_none(n) and not fails(n)]


class Odd:
    """Some rows of this class cannot be brought back from their pickle."""

    def __init__(self, n: int) -> None:
        self.n, self.told = n, f"<{n}>"

    def __setstate__(self, state: dict[str, Any]) -> None:
        if is_none(state["n"]):
            raise ValueError("no such row")
        self.__dict__.update(state)


class Strict(msgspec.Struct):
    """Some rows of this class cannot be made of columns."""

    n: int

    def __post_init__(self) -> None:
        if is_none(self.n):
            raise ValueError("no such row")


def number(row: Any) -> int:
    """Which one it is, whatever it came as."""
    if isinstance(row, (Odd, Strict)):
        return row.n
    if isinstance(row, dict):
        return int(row["n"])
    found = re.search(rb"\d+", row if isinstance(row, bytes) else str(row).encode())
    assert found is not None
    return int(found.group())


class Work:
    def __init__(self, flaky: bool) -> None:
        self.flaky = flaky
        self.seen: set[int] = set()

    def open(self, context: ps.Context) -> None:
        self.context = context

    def work(self, row: Any) -> int:
        n = number(row)
        if n == KILLS_AT and self.context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if fails(n) or (self.flaky and n % 13 == 1 and n not in self.seen):
            self.seen.add(n)
            raise KeyError(n)
        return n


class Awaits(Work):
    async def __call__(self, row: Any) -> int:
        await asyncio.sleep(0.0005 * (number(row) % 4))
        return self.work(row)


class Many(Work):
    def __call__(self, rows: list[Any]) -> list[int]:
        return [self.work(row) for row in rows]


class Table(Work):
    def __call__(self, table: pa.Table) -> pa.Table:
        return pa.table({"n": [self.work(value.as_py()) for value in table.column(0)]})


Begin = Callable[[ps.Pipeline, Path, dict[str, Any], bool], ps.Stream[Any]]
"""Gives a stream that begins stage "work" with the options, or stage "read", which is the source's."""


def _read(app: ps.Pipeline, source: Any, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    if fused:
        return app.source(source, name="work", **options)
    return app.source(source, name="read").stage("work", edge=ps.Edge(batch_rows=20), **options)


def _write(path: Path, good: bytes, bad: bytes, head: bytes = b"") -> Path:
    path.write_bytes(head + b"".join((bad if is_none(n) else good) % n for n in range(ROWS)))
    return path


def undecodable(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    return app.source(range(ROWS), name="read").map(Odd).stage("work", edge=ps.Edge(batch_rows=20), **options)


def lines(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    return _read(app, files.lines(_write(folder / "x.txt", b"%d\n", b"%d\xff\n")), options, fused)


def json_lines(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    return _read(app, files.json_lines(_write(folder / "x.jsonl", b'{"n":%d}\n', b'{"n":%d,\n')), options, fused)


def csv(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    return _read(app, files.csv(_write(folder / "x.csv", b"%d,1\n", b"%d,1,1\n", b"n,m\n")), options, fused)


def parse_json(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    source = files.lines(_write(folder / "x.txt", b'{"n":%d}\n', b'{"n":%d,\n'))
    return _read(app, source, options, fused).parse_json()


def _dates(numbers: pa.Table) -> pa.Table:
    values = numbers.column(0).to_pylist()
    late = pa.array([LATE if is_none(n) else n for n in values], pa.timestamp("us"))
    return pa.table({"n": values, "at": late})


def dates(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    made = app.source(range(ROWS), name="read").stage("make", edge=ps.Edge(batch_rows=20)).map_batches(_dates)
    return made.stage("work", edge=ps.Edge(batch_rows=20), **options)


def parquet(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    pyarrow.parquet.write_table(_dates(pa.table({"value": range(ROWS)})), folder / "x.parquet")
    return _read(app, files.parquet(folder / "x.parquet"), options, fused)


def _strict(numbers: pa.Table) -> pa.Table:
    return pa.table({"n": numbers.column(0)})


def strict(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    source = app.source(range(ROWS), name="read").stage("make", edge=ps.Edge(batch_rows=20))
    return source.map_batches(_strict, type=Strict).stage("work", edge=ps.Edge(batch_rows=20), **options)


def two(app: ps.Pipeline, folder: Path, options: dict[str, Any], fused: bool) -> ps.Stream[Any]:
    """Columns of several types come to one stage, and rows."""
    third = range(0, ROWS, 3), range(1, ROWS, 3), range(2, ROWS, 3)
    one = app.source(third[0], name="read0").stage("make0", edge=ps.Edge(batch_rows=20)).map_batches(_dates)
    other = app.source(third[1], name="read1").stage("make1", edge=ps.Edge(batch_rows=20))
    rows = app.source(third[2], name="read2").map(Odd)
    merged = one.merge(other.map_batches(_strict, type=Strict), rows)
    return merged.stage("work", edge=ps.Edge(batch_rows=20), **options)


KINDS: dict[str, tuple[Begin, str]] = {
    "undecodable": (undecodable, "the row cannot be decoded: ValueError: no such row"),
    "lines": (lines, "utf-8"),
    "json": (json_lines, "Input data was truncated"),
    "csv": (csv, "fields"),
    "parse_json": (parse_json, "Input data was truncated"),
    "dates": (dates, "column 'at'"),
    "parquet": (parquet, "column 'at'"),
    "strict": (strict, "ValueError: no such row"),
    "two": (two, "column 'at'|no such row"),
}
WAYS: dict[str, tuple[dict[str, Any], Callable[[ps.Stream[Any], bool], ps.Stream[Any]]]] = {
    "async": ({"concurrency": 8}, lambda s, flaky: s.map(Awaits(flaky))),
    "async, ordered": ({"concurrency": 8, "ordered": True}, lambda s, flaky: s.map(Awaits(flaky))),
    "async, two ordered": ({"concurrency": 8, "ordered": True, "workers": 2}, lambda s, flaky: s.map(Awaits(flaky))),
    "async, keyed": ({"concurrency": 8, "workers": 2}, lambda s, flaky: s.key_by(number).map(Awaits(flaky))),
    "async, timeout": ({"concurrency": 8, "timeout": "30s"}, lambda s, flaky: s.map(Awaits(flaky))),
    "async, retries": ({"retries": 2, "retry_delay": "1ms"}, lambda s, flaky: s.map(Awaits(flaky))),
    "async, ordered, retries": (
        {"retries": 2, "retry_delay": "1ms", "ordered": True}, lambda s, flaky: s.map(Awaits(flaky))
    ),
    "many": ({}, lambda s, flaky: s.map_many(Many(flaky), rows=64, wait="20ms")),
    "many, whatever waits": ({}, lambda s, flaky: s.map_many(Many(flaky))),
    "many, two ordered": (
        {"ordered": True, "workers": 2}, lambda s, flaky: s.map_many(Many(flaky), rows=64)
    ),
    "many, keyed": (
        {"workers": 2}, lambda s, flaky: s.key_by(number).map_many(Many(flaky), rows=64, wait="20ms")
    ),
    "many, retries": (
        {"retries": 2, "retry_delay": "1ms"}, lambda s, flaky: s.map_many(Many(flaky), rows=64, wait="20ms")
    ),
    "many, ordered, retries": (
        {"retries": 2, "retry_delay": "1ms", "ordered": True},
        lambda s, flaky: s.map_many(Many(flaky), rows=64, wait="20ms"),
    ),
    "batches, retries": (
        {"retries": 2, "retry_delay": "1ms"}, lambda s, flaky: s.map_batches(Table(flaky), rows=64, wait="20ms")
    ),
}
OF_ROWS = [way for way in WAYS if not way.startswith("batches")]
TEXT = ("lines", "json", "csv", "parse_json")


CASES = [
    *((kind, way, False) for kind in KINDS for way in ("async, retries", "many, retries")),
    *((kind, way, True) for kind in (*TEXT, "parquet") for way in ("async", "many")),
    *((kind, "batches, retries", kind in ("lines", "json")) for kind in TEXT),
    *(("undecodable", way, False) for way in OF_ROWS if way not in ("async, retries", "many, retries")),
    *((kind, way, False) for kind in ("dates", "two") for way in ("async, keyed", "many, keyed")),
]


@pytest.mark.parametrize(
    ("kind", "way", "fused"), CASES, ids=[f"{kind}-{way}{'-fused' if fused else ''}" for kind, way, fused in CASES]
)
def test_good_rows_come_through_once_and_each_bad_one_is_a_letter(
    where: Any, tmp_path: Path, kind: str, way: str, fused: bool
) -> None:
    begin, reason = KINDS[kind]
    options, call = WAYS[way]
    app, out = ps.Pipeline("damage"), ListSink[Any]()
    flaky = "retries" in options
    call(begin(app, tmp_path, options, fused), flaky).sink(out, name="out")
    report = app.run(**where)
    rows = [number(row) for row in out.rows]
    assert sorted(rows) == GOOD
    if options.get("ordered"):
        assert rows == GOOD
    found: dict[int, ps.DeadLetter] = {}
    letters = list(ps.read_dead_letters("damage", state_dir=where["state_dir"]))
    for letter in letters:
        found[_told(letter)] = letter
    assert sorted(found) == sorted(set(range(ROWS)) - set(GOOD))
    assert len(letters) == len(found) == report.dead_letters
    at_source = kind in ("lines", "json", "csv") and not fused
    for n, letter in found.items():
        if is_none(n):
            assert re.search(reason, letter.error), letter.error
            assert letter.stage == ("read" if at_source else "work")
            if kind in ("lines", "csv"):
                assert re.search(rf"\b{n + 1 + (kind == 'csv')}\b", letter.error), letter.error
        else:
            assert letter.error == f"KeyError: {n}"
            assert (letter.stage, letter.attempts) == ("work", options.get("retries", 0) + 1)
    assert sum(stage.dead_letters for stage in report.stages.values()) == len(letters)
    for name, stage in report.stages.items():
        if "keyed" not in way:  # rows without a key are letters of the receiver, and counted where they are sent
            assert stage.dead_letters == sum(letter.stage == name for letter in letters), name
    assert report.stages["work"].restarts == 1
    assert report.stages["out"].rows_in == len(GOOD)


def _told(letter: ps.DeadLetter) -> int:
    """Which row it is about."""
    if letter.row_pickle and not isinstance(letter.row, (Odd, dict, Strict)):
        found = re.search(rb"<(\d+)>", letter.row_pickle)
        assert found is not None, letter
        return int(found.group(1))
    return number(letter.row)


WAYS_AT_SOURCES = {
    "async": lambda s: s.map(Awaits(flaky=False)),
    "many": lambda s: s.map_many(Many(flaky=False), rows=64, wait="20ms"),
}


@pytest.mark.parametrize("way", WAYS_AT_SOURCES)
def test_rows_before_the_damage_of_a_file_come_through_once_and_the_rest_is_one_letter(
    where: Any, tmp_path: Path, way: str
) -> None:
    text = b"".join(b"%d %s\n" % (n, hashlib.sha256(b"%d" % n).hexdigest().encode()) for n in range(20_000))
    (tmp_path / "0.gz").write_bytes(gzip.compress(text)[:-200_000])
    (tmp_path / "1.gz").write_bytes(gzip.compress(b"".join(b"%d\n" % n for n in range(20_000, 21_000))))
    app, out = ps.Pipeline("damage"), ListSink[int]()
    stream = app.source(files.lines(tmp_path / "*.gz", on_damaged="skip"), name="work")
    WAYS_AT_SOURCES[way](stream).sink(out, name="out")
    report = app.run(**where)
    letters = list(ps.read_dead_letters("damage", state_dir=where["state_dir"]))
    [rest] = [letter for letter in letters if "the rest of it is skipped" in letter.error]
    read = re.search(r"after ([\d,]+) rows", rest.error)
    assert read is not None and rest.row == str(tmp_path / "0.gz")
    came = [*range(int(read.group(1).replace(",", ""))), *range(20_000, 21_000)]
    assert 1000 < len(came) < 20_000
    assert list(out.rows) == [n for n in came if not fails(n)]
    assert sorted(number(letter.row) for letter in letters if letter is not rest) == [n for n in came if fails(n)]
    assert report.dead_letters == report.stages["work"].dead_letters == len(letters)
    assert report.stages["work"].restarts == 1


@pytest.mark.parametrize("way", WAYS_AT_SOURCES)
def test_rows_before_damage_that_ends_the_run_are_delivered_and_a_repaired_file_is_resumed(
    where: Any, tmp_path: Path, way: str
) -> None:
    text = b"".join(b"%d %s\n" % (n, hashlib.sha256(b"%d" % n).hexdigest().encode()) for n in range(20_000))
    whole = gzip.compress(text)
    (tmp_path / "x.gz").write_bytes(whole[:-200_000])
    app, out = ps.Pipeline("damage"), ListSink[int]()
    stream = app.source(files.lines(tmp_path / "x.gz"), name="work")
    WAYS_AT_SOURCES[way](stream).sink(out, name="out")
    with pytest.raises(ps.PipelineFailed, match="ends in the middle"):
        app.run(**where)
    (tmp_path / "new").write_bytes(whole)
    (tmp_path / "new").rename(tmp_path / "x.gz")
    app.run(**where)
    assert list(out.rows) == [n for n in range(20_000) if not fails(n)]
    letters = [number(letter.row) for letter in ps.read_dead_letters("damage", state_dir=where["state_dir"])]
    assert sorted(letters) == [n for n in range(20_000) if fails(n)]
