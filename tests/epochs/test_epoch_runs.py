"""Real runs whose sinks wait for checkpoints: processes are killed at each step, and the machine is lost.

What is visible is looked at all the time: never a row that the newest checkpoint in the store does not cover.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import penstock as ps
from penstock.errors import PipelineInvalid
from penstock.metrics.checkpoint_state import read_state
from penstock.plan.paths import RunPaths

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

    def __init__(self, folder: Path, *, sink: str, imports: str, slow_s: float = 0.04, rows: int = ROWS) -> None:
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

    with duckdb.connect(str(folder / "out.duckdb"), read_only=True) as connection:
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'rows'").fetchall():
            return []  # no checkpoint had rows yet
        return [row for (row,) in connection.execute("SELECT id FROM rows ORDER BY id").fetchall()]


def test_rows_in_duckdb_are_exact_after_losses_of_the_machine(tmp_path: Path) -> None:
    program = Program(tmp_path, sink='duckdb.table("out.duckdb", "rows")', imports="duckdb")
    rng = random.Random(tmp_path.name)
    for _ in range(3):
        process = program.start()
        program.until_made(4, process)
        select.select([], [], [], rng.uniform(0, 0.3))  # a moment like any other
        lose_the_machine(program, process)
        if (tmp_path / "out.duckdb").exists():
            rows = duckdb_rows(tmp_path)
            assert rows == list(range(len(rows)))
    finish(program.start())
    assert duckdb_rows(tmp_path) == list(range(ROWS))


def test_without_a_store_rows_cannot_wait(tmp_path: Path) -> None:
    from penstock.connectors import duckdb

    app = ps.Pipeline("storeless")
    app.source(range(3)).sink(duckdb.table(tmp_path / "x.duckdb", "rows"), visible="at checkpoint")
    with pytest.raises(PipelineInvalid, match="this run has no store"):
        app.run(run_dir=tmp_path / "run", state_dir=tmp_path / "state")
