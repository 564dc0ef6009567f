"""What one run writes to, no other run writes to; and a target that is taken away is never called finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_scripts import TIMEOUT_S, environment, python, start, write

import penstock as ps
from penstock.connectors import duckdb, files

WRITER = """
    import os, sys, time, penstock as ps
    from penstock.connectors import files
    go = {go!r}
    def slow(x):
        if x["n"] == 50:
            open(go + ".half", "w").close()
            while not os.path.exists(go):
                time.sleep(0.01)
        return x
    app = ps.Pipeline(sys.argv[1])
    app.source([{{"n": n}} for n in range(100)], name="n").stage("work").map(slow).sink(files.{sink}, name="out")
    if __name__ == "__main__":
        try:
            print(app.run(progress=False, run_dir={run_dir!r}, state_dir={run_dir!r} + "/state").outcome)
        except ps.PenstockError as error:
            print(type(error).__name__, error)
"""


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.02)


@pytest.fixture
def script(tmp_path: Path) -> Any:
    def made(sink: str, name: str = "writer.py", folder: str = "a") -> Path:
        source = WRITER.format(go=str(tmp_path / "go"), sink=sink, run_dir=str(tmp_path / "runs"))
        return write(tmp_path / folder, name, source)

    return made


@pytest.mark.parametrize("sink", ["json_lines('../out.jsonl')", "csv('../out/')", "parquet('../out.parquet')"])
def test_a_second_run_on_the_same_target_is_refused_whatever_its_directory(
    tmp_path: Path, script: Any, sink: str
) -> None:
    sink = sink.replace("')", "', if_exists='overwrite')")
    one, other = script(sink), script(sink.replace("../", str(tmp_path) + "/a/../"), folder="b")
    with start(one.parent, one.name, "first") as running:
        wait_for(tmp_path / "go.half")
        told = python(other.parent, other.name, "second").stdout
        assert told.startswith("TargetInUse ")
        assert "is being written by a run of 'first'" in told
        (tmp_path / "go").touch()
        assert running.communicate(timeout=TIMEOUT_S)[0] == "finished\n"
    assert python(other.parent, other.name, "second").stdout == "finished\n"
    assert not list(tmp_path.rglob("*.claim"))


def test_a_run_that_was_killed_keeps_its_target_until_it_is_run_or_discarded(tmp_path: Path, script: Any) -> None:
    sink = f"json_lines({str(tmp_path / 'out.jsonl')!r}, if_exists='append')"
    one, other = script(sink), script(sink, folder="b")
    running = start(one.parent, one.name, "first")
    wait_for(tmp_path / "go.half")
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=TIMEOUT_S)
    (tmp_path / "go").touch()
    deadline = time.monotonic() + TIMEOUT_S
    while "is being written" in (told := python(other.parent, other.name, "second").stdout):
        assert time.monotonic() < deadline  # its supervisor ends soon
    assert "was left unfinished by a run of 'first'" in told
    assert python(one.parent, one.name, "first").stdout == "finished\n"
    assert python(other.parent, other.name, "second").stdout == "finished\n"
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 200


def test_what_a_discarded_run_claimed_is_free(tmp_path: Path, script: Any) -> None:
    sink = f"json_lines({str(tmp_path / 'out.jsonl')!r}, if_exists='append')"
    one, other = script(sink), script(sink, folder="b")
    running = start(one.parent, one.name, "first")
    wait_for(tmp_path / "go.half")
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=TIMEOUT_S)
    (tmp_path / "go").touch()
    clean = [sys.executable, "-m", "penstock", "clean", "first", "--run-dir", str(tmp_path / "runs")]
    deadline = time.monotonic() + TIMEOUT_S
    while subprocess.run(clean, env=environment(tmp_path), capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline
    assert not list(tmp_path.rglob("*.claim"))
    assert python(other.parent, other.name, "second").stdout == "finished\n"


def test_one_target_under_two_names_in_one_pipeline_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    app = ps.Pipeline("two")
    rows = app.source([1], name="n")
    rows.sink(files.json_lines(tmp_path / "real" / "out.jsonl"), name="a")
    rows.sink(files.json_lines(tmp_path / "link" / "out.jsonl"), name="b")
    [found] = app.check()
    assert "already writes to" in found.what


def remove(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace(path: Path) -> None:
    path.with_name("new").write_text("")
    path.with_name("new").rename(path)


@pytest.mark.parametrize("take_away", [remove, rename, replace])
@pytest.mark.parametrize("kind", ["json_lines", "csv", "parquet", "duckdb"])
def test_a_target_that_is_taken_away_is_named_and_the_run_fails(tmp_path: Path, kind: str, take_away: Any) -> None:
    path, seen = tmp_path / f"out.{kind}", tmp_path / "seen"
    there = tmp_path / f".out.{kind}.spool" if kind == "parquet" else path
    sink = duckdb.table(path, "t") if kind == "duckdb" else getattr(files, kind)(path)

    def rows() -> Iterator[dict[str, int]]:
        for x in range(100):
            while x == 50 and not seen.exists():
                time.sleep(0.01)
            yield {"n": x}

    app = ps.Pipeline("taken")
    app.source(rows, name="n").sink(sink, name="out", max_restarts="2/m")
    handle = app.start(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    deadline = time.monotonic() + TIMEOUT_S
    while handle.status().stages["out"].rows_in < 30:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    take_away(there)
    seen.touch()
    with pytest.raises(ps.PipelineFailed) as failed:
        handle.wait(timeout="60s")
    assert there.name in str(failed.value)


def test_a_failed_run_keeps_its_target_when_what_it_left_is_moved_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out = tmp_path / "out.jsonl"

    def app(name: str, *, bad: int) -> ps.Pipeline:
        def check(n: int) -> int:
            if n == bad:
                raise ValueError(n)
            return n

        made = ps.Pipeline(name)
        rows = made.source(list(range(10)), name="n").stage("check", on_error=ps.fail()).map(check)
        rows.sink(files.json_lines(out, if_exists="append"), name="out")
        return made

    with pytest.raises(ps.PipelineFailed):
        app("first", bad=7).run(progress=False)
    assert list((tmp_path / "state").rglob("manifest.json"))
    with pytest.raises(ps.TargetInUse, match="left unfinished by a run of 'first'"):
        app("second", bad=-1).run(progress=False)
    assert app("first", bad=-1).run(progress=False).outcome == "finished"
    assert app("second", bad=-1).run(progress=False).outcome == "finished"
    assert sorted(map(int, out.read_text().split())) == sorted([*range(10), *range(10)])
    assert not list(tmp_path.rglob("*.claim"))
