"""Real runs whose sinks wait for checkpoints: processes are killed at each step, and the machine is lost.

What is visible is looked at all the time: never a row that the newest checkpoint in the store does not cover.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

import penstock as ps
from penstock.checkpoints.history import read_log
from penstock.checkpoints.stores import open_store
from penstock.connectors import duckdb, files, sqlite
from penstock.engine import engine
from penstock.errors import PipelineInvalid
from penstock.metrics.checkpoint_state import read_state
from penstock.plan.paths import RunPaths
from penstock.slot.records.life import Crash
from penstock.slot.records.record import decode_record
from postgres_server import made_server

pytestmark = pytest.mark.timeout(300)

ROWS = 6000
PROGRAM = """
    import sys, time
    import penstock as ps
    from penstock.connectors import {imports}

    def numbers():
        for x in range({rows}):
            if x % 100 == 0:
                time.sleep({slow_s})
            yield {{"id": x, "part": x % 3}}

    app = ps.Pipeline("epochs")
    rows = app.source(numbers, name="ingest").stage("pass", max_restarts="100000/m").map(lambda row: row)
    rows.sink({sink}, name="store", visible="at checkpoint", max_restarts="100000/m")
    if __name__ == "__main__":
        store = ps.checkpoint("store", every="50ms")
        print(app.run(run_dir="run", state_dir="state", checkpoint=store).outcome, flush=True)
"""


class Program:
    """A program in a folder, started again and again."""

    def __init__(self, folder: Path, *, sink: str, imports: str, slow_s: float = 0.25, rows: int = ROWS) -> None:
        self.folder, self.rows = folder, rows
        text = PROGRAM.format(sink=sink, imports=imports, slow_s=slow_s, rows=rows)
        (folder / "app.py").write_text(textwrap.dedent(text))

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "app.py"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(ps.__file__).parents[1]), *sys.path])},
        )

    @property
    def run_dir(self) -> Path | None:
        found = list((self.folder / "run").glob("epochs-*"))
        return found[0] if found else None

    def made(self) -> int:
        """How many checkpoints this checkpointer has made."""
        state = read_state(RunPaths(self.run_dir).checkpoint_state) if self.run_dir is not None else None
        return state.made if state is not None else 0


    def until_made(self, checkpoints: int, process: subprocess.Popen[str]) -> None:
        until(lambda: self.made() >= checkpoints or process.poll() is not None)
        assert process.poll() is None, process.communicate()


def processes_of(run_dir: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if any(os.readlink(fd).startswith(str(run_dir)) for fd in (entry / "fd").iterdir()):
                    found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def until(condition: Callable[[], object], timeout_s: float = 100.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        select.select([], [], [], 0.01)


def lose_the_machine(program: Program, process: subprocess.Popen[str]) -> None:
    """All processes and all memory are gone; disks stay."""
    process.kill()
    process.wait()
    run_dir = program.run_dir
    if run_dir is not None:
        while pids := processes_of(run_dir):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    shutil.rmtree(program.folder / "run", ignore_errors=True)


def finish(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=200)
    assert out.strip() == "finished", err


def duckdb_rows(folder: Path) -> list[int]:
    import duckdb

    if not (folder / "out.duckdb").exists():
        return []
    with duckdb.connect(str(folder / "out.duckdb"), read_only=True) as connection:
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'rows'").fetchall():
            return []  # no checkpoint had rows yet
        return [row for (row,) in connection.execute("SELECT id FROM rows ORDER BY id").fetchall()]


def sqlite_rows(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / "out.db", timeout=60)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchall():
            return []
        return [row for (row,) in connection.execute("SELECT id FROM rows ORDER BY id").fetchall()]


def json_rows(folder: Path) -> list[int]:
    parts = list((folder / "out").rglob("part-*.jsonl"))
    return sorted(json.loads(line)["id"] for path in parts for line in path.read_text().splitlines())


def parquet_rows(folder: Path) -> list[int]:
    import pyarrow.parquet as parquet

    parts = list((folder / "out").rglob("part-*.parquet"))
    return sorted(id for path in parts for id in parquet.ParquetFile(path).read().column("id").to_pylist())


TARGETS: dict[str, tuple[str, str, Callable[[Path], list[int]]]] = {
    "duckdb": ('duckdb.table("out.duckdb", "rows")', "duckdb", duckdb_rows),
    "sqlite": ('sqlite.table("out.db", "rows")', "sqlite", sqlite_rows),
    "json": ('files.json_lines("out/")', "files", json_rows),
    "parquet": ('files.parquet("out/", partition_by="part")', "files", parquet_rows),
}


def durable_rows(folder: Path) -> int:
    """How many rows the newest checkpoint in the store covers."""
    manifests = read_log(open_store(str(folder / "store"), "epochs")).manifests
    records = [slot.record for slot in manifests[-1].cut.slots if slot.group == "store"] if manifests else []
    return sum(decode_record(record).stages[0].counts.rows_in for record in records)


@pytest.mark.parametrize("target", TARGETS)
def test_rows_are_exact_and_never_early_whenever_the_machine_is_lost(target: str, tmp_path: Path) -> None:
    sink, imports, rows_of = TARGETS[target]
    program = Program(tmp_path, sink=sink, imports=imports)
    rng = random.Random(tmp_path.name)
    for _ in range(3):
        process = program.start()
        program.until_made(3, process)
        for _ in range(rng.randrange(20)):  # a moment like any other
            select.select([], [], [], 0.01)
            if target != "duckdb":  # which nobody else can open meanwhile
                require_durable(rows_of, tmp_path)
        lose_the_machine(program, process)
        require_durable(rows_of, tmp_path)
    finish(program.start())
    assert rows_of(tmp_path) == list(range(ROWS))


def require_durable(rows_of: Callable[[Path], list[int]], folder: Path) -> None:
    """What is seen first was durable before."""
    rows = rows_of(folder)
    if rows:
        assert len(rows) == len(set(rows))
        assert max(rows) < durable_rows(folder)


@pytest.mark.parametrize("target", TARGETS)
def test_a_worker_killed_at_each_step_is_followed_by_one_that_goes_on(target: str, tmp_path: Path) -> None:
    """Spooled, durable, applying, applied, noted."""
    _, _, rows_of = TARGETS[target]
    for point in ("before_commit", "after_commit", "before_apply", "before_sink_commit", "after_sink_commit"):
        folder = tmp_path / point
        folder.mkdir()
        sinks = {
            "duckdb": lambda folder: duckdb.table(folder / "out.duckdb", "rows"),
            "sqlite": lambda folder: sqlite.table(folder / "out.db", "rows"),
            "json": lambda folder: files.json_lines(f"{folder}/out/"),
            "parquet": lambda folder: files.parquet(f"{folder}/out/", partition_by="part"),
        }
        app = ps.Pipeline("epochs")
        numbers = app.source(range(3000), name="ingest").stage("pass").map(as_row)
        numbers.sink(sinks[target](folder), name="store", visible="at checkpoint", max_restarts="100/m")
        report = engine.run(
            app.plan(), run_dir=folder / "run", state_dir=folder / "state",
            checkpoint=ps.checkpoint(folder / "store", every="50ms"), crashes={"store": (Crash(point, 1000),)},
        )
        assert report.outcome == "finished"
        assert report.stages["store"].restarts == 1, point
        assert rows_of(folder) == list(range(3000)), point


def as_row(number: int) -> dict[str, int]:
    return {"id": number, "part": number % 3}


def test_rows_in_postgres_are_exact_and_never_early_whenever_the_machine_is_lost(tmp_path: Path) -> None:
    with made_server() as server:
        sink = f'postgres.table("{server.dsn()}", "rows", if_exists="append")'
        program = Program(tmp_path, sink=sink, imports="postgres")

        def rows_of(folder: Path) -> list[int]:
            if server.execute("SELECT to_regclass('rows')") == [(None,)]:
                return []
            return [row for (row,) in server.execute("SELECT id FROM rows ORDER BY id")]

        rng = random.Random(tmp_path.name)
        for death in range(3):
            process = program.start()
            program.until_made(3, process)
            for _ in range(rng.randrange(20)):
                select.select([], [], [], 0.01)
                require_durable(rows_of, tmp_path)
            if death == 1:  # of the server, in the middle
                server.kill()
                server.start()
            lose_the_machine(program, process)
            require_durable(rows_of, tmp_path)
        finish(program.start())
        assert rows_of(tmp_path) == list(range(ROWS))


def test_a_run_that_is_stopped_keeps_what_waits_for_the_next_one(tmp_path: Path) -> None:
    program = Program(tmp_path, sink='files.json_lines("out/")', imports="files")
    process = program.start()
    program.until_made(3, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # do not drain
    process.wait(timeout=200)
    require_durable(json_rows, tmp_path)
    finish(program.start())
    assert json_rows(tmp_path) == list(range(ROWS))


def test_without_a_store_rows_cannot_wait(tmp_path: Path) -> None:
    app = ps.Pipeline("storeless")
    app.source(range(3)).sink(duckdb.table(tmp_path / "x.duckdb", "rows"), visible="at checkpoint")
    with pytest.raises(PipelineInvalid, match="this run has no store"):
        app.run(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
