"""Rows that are none in stages of coroutines and of gathered calls: good ones come through once, bad ones are letters.

A bad row is one that cannot be decoded, a line that its source rejects, columns that no row can be made of, or one
whose function raises. A worker is killed among them.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
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
}


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "apart"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_good_rows_come_through_once_and_each_bad_one_is_a_letter(
    where: Any, tmp_path: Path, kind: str, way: str, fused: bool
) -> None:
    if fused and kind in ("undecodable", "dates", "strict", "two"):
        pytest.skip("such rows come over a queue")
    if fused and ("keyed" in way or "ordered" in way):
        pytest.skip("of a source there are no keys and no order to keep")
    begin, reason = KINDS[kind]
    options, call = WAYS[way]
    app, out = ps.Pipeline("damage"), ListSink[int]()
    flaky = "retries" in options
    call(begin(app, tmp_path, options, fused), flaky).sink(out, name="out")
    report = app.run(**where)
    rows = list(out.rows)
    assert sorted(rows) == GOOD
    if options.get("ordered") and kind != "two":
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
    for stage in ("read", "work"):
        if stage in report.stages:
            assert report.stages[stage].dead_letters == sum(letter.stage == stage for letter in letters)
    assert report.stages["work"].restarts == 1
    assert report.stages["out"].rows_in == len(GOOD)


def _told(letter: ps.DeadLetter) -> int:
    """Which row it is about."""
    if letter.row_pickle and not isinstance(letter.row, (Odd, dict, Strict)):
        found = re.search(rb"<(\d+)>", letter.row_pickle)
        assert found is not None, letter
        return int(found.group(1))
    return number(letter.row)
