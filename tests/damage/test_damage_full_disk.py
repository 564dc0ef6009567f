"""Disks that are full, at the start and later: the file is named, and once there is room the run resumes, exact."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock as ps
from mounted import FileSystem, mounted
from penstock.connectors import files
from penstock.engine import rundir
from penstock.slot.process.failure_file import read_failure, reserve, write_failure
from penstock.slot.records.life import FailureNote

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FileSystem]:
    with mounted(tmp_path / "disk", "size=4m") as made:
        yield made


def test_a_place_without_room_is_refused_by_name(disk: FileSystem, tmp_path: Path) -> None:
    app = ps.Pipeline("large")
    app.source(range(10)).stage("work", edge=ps.Edge(memory="8 MiB")).map(str).sink(ps.discard())
    with pytest.raises(ps.NoRunDirectory, match=f"{disk.path}/run: .*of room.*--run-dir"):
        app.run(run_dir=disk.path / "run", state_dir=tmp_path / "state", progress=False)


@pytest.mark.parametrize("full", [False, True], ids=["too small", "full to the last byte"])
def test_a_run_moves_to_disk_where_shared_memory_is_full(
    full: bool, disk: FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rundir, "SHARED_MEMORY", disk.path)
    if full:
        disk.fill()
    app = ps.Pipeline("moved")
    app.source(range(10), name="numbers").stage("work", edge=ps.Edge(memory="8 MiB")).map(str).sink(ps.discard())
    with caplog.at_level(logging.WARNING, "penstock.engine"):
        report = app.run(state_dir=tmp_path / "state", progress=False)
    assert report.stages["work"].rows_in == 10
    assert "so the run directory goes to" in caplog.text
    assert [p for p in disk.path.rglob("*") if p.is_file() and p.name != "ballast"] == []


def test_a_run_without_any_room_is_refused_by_name(disk: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rundir, "SHARED_MEMORY", disk.path)
    disk.fill()
    app = ps.Pipeline("nowhere")
    app.source(range(10)).stage("work").map(str).sink(ps.discard())
    with pytest.raises(ps.NoRunDirectory, match=str(disk.path / "state")):
        app.run(state_dir=disk.path / "state", progress=False)


ROWS = 200
HUGE = 7


@dataclass(frozen=True)
class Job:
    """Makes whatever the case needs much room for, once the disk is full."""

    case: str
    room: Path
    """Is there when there is room again."""

    def __call__(self, n: int) -> dict[str, Any]:
        if self.case == "dead letters" and n >= ROWS // 2 and n % 2:
            raise ps.Reject("x" * 50_000)
        if self.case == "retries" and n >= ROWS // 2 and not self.room.exists():
            raise Again("y" * 50_000)
        if self.case == "side file" and n == HUGE:
            return {"n": n, "pad": os.urandom(1_000_000).hex()}
        return {"n": n, "pad": os.urandom(10_000).hex() if self.case == "output" else ""}


class Again(Exception):
    """A row to try again."""


@dataclass(frozen=True)
class Full:
    """The first row tells that the workers are up, and waits until the disk is full."""

    up: Path
    go: Path

    def __call__(self, n: int) -> int:
        if n == 0 and self.go.exists():
            self.up.open("wb").write(b"x")
            self.go.open("rb").read(1)
            self.go.unlink()  # later lives do not wait
        return n


@pytest.mark.parametrize("case", ["output", "dead letters", "side file", "retries"])
def test_a_disk_that_fills_up_during_a_run_is_named_and_the_run_resumes_once_there_is_room(
    case: str, disk: FileSystem, tmp_path: Path
) -> None:
    room, up, go = tmp_path / "room", tmp_path / "up", tmp_path / "go"
    os.mkfifo(up)
    os.mkfifo(go)
    small = {"output": "out", "dead letters": "state", "side file": "run", "retries": "run"}[case]
    place = {name: (disk.path if name == small else tmp_path) / name for name in ("out", "state", "run")}
    place["out"].mkdir()
    options: dict[str, Any] = {"max_restarts": "2/m", "unavailable_for": "2s"}
    app = ps.Pipeline("filling")
    stage = app.source(range(ROWS), name="numbers", **options).stage(
        "work", edge=ps.Edge(memory="512 KiB"), retries=1000, retry_delay="50ms",
        on_error=ps.dead_letter(give_up_after=None), **options,
    )  # fmt: skip
    rows = stage.map(Full(up, go)).map(Job(case, room))
    rows.sink(files.json_lines(str(place["out"] / "rows.jsonl")), name="out", edge=ps.Edge(memory="512 KiB"), **options)
    handle = app.start(run_dir=place["run"], state_dir=place["state"])
    up.open("rb").read(1)
    disk.fill()
    go.open("wb").write(b"x")
    with pytest.raises(ps.PipelineFailed, match="No space left on device") as caught:
        handle.wait(timeout="40s")
    said = str(caught.value)
    assert str(disk.path) in said
    assert "run again" in said
    assert "SIGBUS" not in said

    disk.make_room()
    disk.remount("size=64m")
    room.touch()
    report = app.run(run_dir=place["run"], state_dir=place["state"], progress=False)
    rejected = [n for n in range(ROWS // 2, ROWS) if n % 2] if case == "dead letters" else []
    lines = (place["out"] / "rows.jsonl").read_bytes().splitlines()
    assert sorted(msgspec.json.decode(line)["n"] for line in lines) == sorted(set(range(ROWS)) - set(rejected))
    letters = list(ps.read_dead_letters("filling", state_dir=place["state"]))
    assert len(letters) == len(rejected) == report.dead_letters
    assert report.outcome == "finished"


def test_the_note_of_a_worker_has_its_room_reserved(disk: FileSystem) -> None:
    """An end without a note, or with a code that nobody knows, would be blamed on the row in work."""
    path = disk.path / "failure"
    reserve(path)
    disk.fill()
    write_failure(path, FailureNote("work", "the disk is full", "t" * 100_000))
    assert read_failure(path) == FailureNote("work", "the disk is full")
    disk.make_room()
    disk.remount("size=64m")
    write_failure(path, FailureNote("work", "again", "t" * 100_000))
    assert read_failure(path).traceback == "t" * 100_000


def test_a_resume_without_room_is_named_and_succeeds_once_there_is_some(disk: FileSystem, tmp_path: Path) -> None:
    app = ps.Pipeline("taken")
    repaired = tmp_path / "repaired"

    def work(n: int) -> int:
        if n == 50 and not repaired.exists():
            raise ValueError("not today")
        return n

    app.source(range(100), name="numbers").stage("work", on_error=ps.fail(), edge=ps.Edge(memory="512 KiB")).map(
        work
    ).sink(files.json_lines(str(tmp_path / "rows.jsonl")), name="out", edge=ps.Edge(memory="512 KiB"))
    where: dict[str, Any] = {"run_dir": disk.path / "run", "state_dir": tmp_path / "state", "progress": False}
    with pytest.raises(ps.PipelineFailed, match="not today"):
        app.run(**where)
    repaired.touch()
    disk.fill()
    with pytest.raises(ps.FileUnusable, match=f"{disk.path}.*make room, then run again"):
        app.run(**where)
    disk.make_room()
    disk.remount("size=64m")
    app.run(**where)
    assert sorted(map(int, (tmp_path / "rows.jsonl").read_text().split())) == list(range(100))
    shutil.rmtree(disk.path / "run", ignore_errors=True)
