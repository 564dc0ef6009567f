"""A file said to be complete is on the disk, name and all: each part when the next one begins, the last at the end."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from file_roles import open_writer

from penstock.connectors import files
from penstock.errors import TargetDamaged


class Synced:
    """Takes down how long each file was when it was last synced, and what was in each folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: dict[str, int] = {}
        self.names: dict[str, set[str]] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._take_down)

    def _take_down(self, fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        self._fsync(number)
        path, found = os.readlink(f"/proc/self/fd/{number}"), os.fstat(number)
        if stat.S_ISDIR(found.st_mode):
            self.names[path] = set(os.listdir(path))
        else:
            self.lengths[path] = found.st_size

    def has_name(self, path: Path | str) -> bool:
        folder, name = os.path.split(path)
        return name in self.names.get(folder, ())


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Synced:
    return Synced(monkeypatch)


def whole(folder: Path, pattern: str) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob(pattern)}


def test_every_part_is_on_the_disk_before_the_next_one_begins(tmp_path: Path, synced: Synced) -> None:
    sink: Any = files.json_lines(f"{tmp_path}/out/", roll="1 KiB")
    sink.prepare()
    writer = open_writer(sink)
    for number in range(40):
        before = whole(tmp_path, "part*")
        writer.write([{"n": number, "text": "x" * 100}])
        if len(whole(tmp_path, "part*")) > len(before) > 0:
            assert {path: synced.lengths.get(path) for path in before} == before
            assert all(map(synced.has_name, before))
    assert len(whole(tmp_path, "part*")) > 2
    writer.finish()
    assert synced.lengths == whole(tmp_path, "part*")
    writer.close()


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.csv", "out.parquet"])
def test_a_finished_file_is_on_the_disk_whole(tmp_path: Path, name: str, synced: Synced) -> None:
    make = {"jsonl": files.json_lines, "csv": files.csv, "parquet": files.parquet}[name.split(".")[1]]
    sink: Any = make(tmp_path / name)
    sink.prepare()
    writer = open_writer(sink)
    writer.write([{"n": number} for number in range(1000)])
    writer.finish()
    assert (tmp_path / name).stat().st_size in synced.lengths.values()
    assert synced.has_name(tmp_path / name)
    writer.close()


@pytest.mark.parametrize("make", [files.json_lines, files.parquet])
def test_the_names_of_parts_and_of_their_new_folders_are_on_the_disk(tmp_path: Path, make: Any, synced: Synced) -> None:
    sink: Any = make(f"{tmp_path}/new/out/", roll="1 KiB")
    sink.prepare()
    writer = open_writer(sink)
    for number in range(40):
        writer.write([{"n": number, "text": "x" * 100}])
    writer.finish()
    writer.close()
    parts = sorted((tmp_path / "new" / "out").glob("part-*"))
    assert len(parts) > 2
    assert all(map(synced.has_name, [tmp_path / "new", tmp_path / "new" / "out", *parts]))


def test_a_parquet_file_has_its_name_before_its_spool_is_removed(
    tmp_path: Path, synced: Synced, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[tuple[str, bool]] = []

    def unlink(path: Any, *args: Any, **options: Any) -> None:
        if str(path).endswith(".spool"):
            removed.append((str(path), synced.has_name(tmp_path / "out.parquet")))
        real(path, *args, **options)

    real = os.unlink
    monkeypatch.setattr(os, "unlink", unlink)
    sink: Any = files.parquet(tmp_path / "out.parquet")
    sink.prepare()
    writer = open_writer(sink)
    writer.write([{"n": 1}])
    writer.finish()
    writer.close()
    assert removed and all(named for _, named in removed)


def test_a_new_database_has_its_name_on_the_disk(tmp_path: Path, synced: Synced) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    from penstock.connectors import duckdb

    open_writer(duckdb.table(tmp_path / "x.duckdb", "t")).close()
    assert synced.has_name(tmp_path / "x.duckdb")


@pytest.mark.parametrize("kind", ["json_lines", "csv"])
@pytest.mark.parametrize("left", [0, 1, 20], ids=["cut_to_nothing", "cut_to_a_byte", "cut_within"])
def test_a_file_that_somebody_cuts_is_named_and_gets_no_hole(tmp_path: Path, kind: str, left: int) -> None:
    """As logrotate does with `copytruncate`: rows written on at the old length would follow a hole of null bytes."""
    path = tmp_path / "out"
    writer = open_writer(getattr(files, kind)(path))
    writer.write([{"n": number} for number in range(100)])
    os.truncate(path, left)
    with pytest.raises(TargetDamaged, match="somebody truncated it"):
        writer.position()
    with pytest.raises(TargetDamaged, match="somebody truncated it"):
        writer.write([{"n": 100}])
    assert path.stat().st_size == left
    writer.close()


@pytest.mark.parametrize("kind", ["json_lines", "csv"])
def test_what_somebody_else_writes_to_a_file_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    writer = open_writer(getattr(files, kind)(path))
    writer.write([{"n": 1}])
    with path.open("a") as other:
        other.write("theirs\n")
    with pytest.raises(TargetDamaged, match="somebody else wrote 7 bytes"):
        writer.write([{"n": 2}])
    assert path.read_text().endswith("theirs\n")
    writer.close()
