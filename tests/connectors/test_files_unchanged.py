"""A bounded file that changes while it is read, or between two lives, is never mixed with what it was, and is named."""

from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_roles import context, journaled, read_all, rows_in

from penstock.connectors import files
from penstock.connectors.files import content, csv_reader, line_reader, spec
from penstock.errors import SourceDamaged
from penstock.source import EndOfSplit, Reader, Source

LINES = [f"{number:06d},old" for number in range(4000)]
NEW = [f"{number:06d},new" for number in range(4000)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (content, line_reader, csv_reader):
        monkeypatch.setattr(module, "BLOCK_BYTES", 4096)


def text(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode()


def opened(source: Source[Any], position: Any = None) -> Reader[Any]:
    (split,) = source.splits().values()
    return source.open(split, journaled(position), context())


def to_the_end(reader: Reader[Any]) -> list[Any]:
    rows: list[Any] = []
    while True:
        try:
            given = reader.read()
        except EndOfSplit:
            reader.close()
            return rows
        rows += rows_in(given)


def replace(path: Path, lines: list[str]) -> None:
    new = path.with_name("new")
    new.write_bytes(text(lines))
    os.rename(new, path)


def truncate(path: Path, size: int) -> None:
    os.truncate(path, size)


def rewrite(path: Path, lines: list[str]) -> None:
    path.write_bytes(text(lines))


CHANGES: list[tuple[Callable[[Path], None], str]] = [
    (lambda path: replace(path, NEW), "was replaced by another file"),
    (lambda path: truncate(path, 100), "are gone"),
    (lambda path: rewrite(path, NEW), "was truncated or rewritten"),
    (lambda path: rewrite(path, NEW * 2), "was truncated or rewritten"),
    (lambda path: path.unlink(), "is gone"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_a_file_that_changed_between_two_lives_is_never_resumed(
    tmp_path: Path, change: Callable[[Path], None], told: str
) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(text(LINES))
    source = files.lines(path)
    reader = opened(source)
    reader.read()
    position = reader.position()
    (split,) = source.splits().values()
    change(path)
    with pytest.raises(SourceDamaged, match=told):
        to_the_end(source.open(split, journaled(position), context()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: truncate(path, 100), "was truncated from"),
        (lambda path: truncate(path, 12_000), "was truncated from"),
        (lambda path: rewrite(path, NEW), "was rewritten"),
        (lambda path: rewrite(path, NEW * 2), "was rewritten"),
    ],
)
@pytest.mark.parametrize("make", [files.lines, lambda path: files.csv(path, header=False)])
def test_a_file_that_is_cut_or_rewritten_while_it_is_read_does_not_end_silently(
    tmp_path: Path, change: Callable[[Path], None], told: str, make: Callable[[Path], Source[Any]]
) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(text(LINES))
    reader = opened(make(path))
    reader.read()
    reader.position()
    change(path)
    with pytest.raises(SourceDamaged, match=told):
        to_the_end(reader)


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(text(LINES))
    reader = opened(files.lines(path))
    rows = rows_in(reader.read())
    replace(path, NEW)
    with caplog.at_level(logging.WARNING):
        assert rows + to_the_end(reader) == LINES
    assert "another file took its place" in caplog.text


def test_a_file_that_grew_while_it_was_read_is_read_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(text(LINES))
    reader = opened(files.lines(path))
    rows = rows_in(reader.read())
    with path.open("ab") as file:
        file.write(text(NEW))
    with caplog.at_level(logging.WARNING):
        assert rows + to_the_end(reader) == LINES + NEW
    assert "it grew from" in caplog.text


def test_a_file_that_was_repaired_with_the_same_beginning_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    whole = gzip.compress(text(LINES))
    path.write_bytes(whole[:-20])
    reader = opened(files.lines(path))
    rows: list[str] = []
    position = None
    with pytest.raises(SourceDamaged, match="ends in the middle"):  # noqa: PT012
        while True:
            rows += rows_in(reader.read())
            position = reader.position()
    new = tmp_path / "new"
    new.write_bytes(whole)
    os.rename(new, path)
    assert rows + to_the_end(opened(files.lines(path), position)) == LINES


def test_parts_of_a_large_file_are_never_read_of_two_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "RANGE_BYTES", 10_000)
    path = tmp_path / "x.log"
    path.write_bytes(text(LINES))
    source = files.lines(path)
    first, *others = source.splits().values()
    assert len(others) >= 3
    assert to_the_end(source.open(first, None, context()))[0] == LINES[0]
    replace(path, NEW)
    for split in others:
        with pytest.raises(SourceDamaged, match="was replaced after the run began"):
            source.open(split, None, context())


def test_a_whole_file_that_was_replaced_before_it_was_opened_is_read_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(text(LINES))
    source = files.lines(path)
    (split,) = source.splits().values()
    replace(path, NEW)
    with caplog.at_level(logging.WARNING):
        assert to_the_end(source.open(split, None, context())) == NEW
    assert "was replaced after the run began" in caplog.text


def test_a_parquet_file_that_changed_is_never_mixed(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": range(300_000)}), path, row_group_size=50_000)
    source = files.parquet(path)
    reader = opened(source)
    reader.read()
    position = reader.position()
    pq.write_table(pa.table({"n": range(1000, 301_000)}), tmp_path / "new", row_group_size=50_000)
    os.rename(tmp_path / "new", path)
    with pytest.raises(SourceDamaged, match="was replaced by another file"):
        opened(source, position)
    assert len([1 for row in to_the_end(reader) if row]) < 300_000  # the old one, read to its end
    second = opened(source)
    second.read()
    os.truncate(path, 5000)
    with pytest.raises(SourceDamaged):
        to_the_end(second)


def test_one_file_under_many_names_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_bytes(b"a\n")
    (tmp_path / "b.log").write_bytes(b"b\n")
    (tmp_path / "soft.log").symlink_to("a.log")
    os.link(tmp_path / "a.log", tmp_path / "hard.log")
    names = ["a.log", "./a.log", str(tmp_path / "a.log"), "*.log", "./*.log", f"{tmp_path}/", "soft.log", "hard.log"]
    assert sorted(read_all(files.lines(names))) == ["a", "b"]
    assert isinstance(next(iter(files.lines("soft.log").splits())), str) and read_all(files.lines("soft.log")) == ["a"]
