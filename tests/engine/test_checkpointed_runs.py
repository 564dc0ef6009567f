"""Real runs with checkpoints: the machine is lost, or the run is told to end, and the next run resumes there."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from engine_scripts import environment, processes_of, write
from msgspec.structs import replace

import penstock as ps
from penstock.checkpoints.history import read_log
from penstock.checkpoints.stores import open_store
from penstock.connectors import files
from penstock.engine import rundir
from penstock.errors import LayoutChanged
from penstock.metrics.checkpoint_state import read_state
from penstock.plan.paths import RunPaths

pytestmark = pytest.mark.timeout(300)

_CHECKPOINTER = b"penstock.checkpoints.checkpointer"
PROGRAM = """
    import random, sys, time
    import penstock as ps
    from penstock.connectors import files

    ROWS, SLOW_S = int(sys.argv[1]), float(sys.argv[2])

    def numbers():
        for x in range(ROWS):
            if SLOW_S and x % 100 == 0:
                time.sleep(SLOW_S)
            yield x

    def tag(x):
        if SLOW_S and x % 50 == 0:
            time.sleep(SLOW_S)
        if x % 1000 == 7:
            raise ValueError("no")
        return {"id": x, "r": random.random()}

    def again(row):
        return {**row, "q": random.random()}

    app = ps.Pipeline("lost")
    rows = app.source(numbers, name="ingest")
    rows = rows.stage("tag", workers=2, max_restarts="100000/m").key_by(lambda x: x % 13).map(tag)
    rows.stage("again", workers=2, max_restarts="100000/m").map(again).sink(files.json_lines("out.jsonl"), name="store")
    if __name__ == "__main__":
        store = ps.checkpoint("store", every="50ms") if "store" in sys.argv else None
        fresh = "fresh" in sys.argv
        print(app.run(run_dir="run", state_dir="state", checkpoint=store, fresh=fresh).outcome, flush=True)
"""


COUNTING = """
    import sys, time
    import penstock as ps
    from penstock.connectors import files

    ROWS, SLOW_S = int(sys.argv[1]), float(sys.argv[2])

    def numbers():
        for x in range(ROWS):
            if SLOW_S and x % 100 == 0:
                time.sleep(SLOW_S)
            yield {"id": x, "key": x % 101}

    def count(seen, row):
        return seen + 1, {**row, "seen": seen + 1}

    app = ps.Pipeline("lost")
    rows = app.source(numbers, name="ingest").stage("count", workers=2, max_restarts="100000/m").key_by("key")
    rows.scan(0, count).sink(files.json_lines("out.jsonl"), name="store")
    if __name__ == "__main__":
        store = ps.checkpoint("store", every="50ms") if "store" in sys.argv else None
        print(app.run(run_dir="run", state_dir="state", checkpoint=store).outcome, flush=True)
"""


class Program:
    """A program in a folder of its own, started again and again."""

    def __init__(
        self, folder: Path, rows: int, *options: str, slow_s: float = 0.005, program: str = PROGRAM
    ) -> None:
        self.folder, self.rows, self.options, self.slow_s = folder, rows, options, slow_s
        write(folder, "app.py", program)

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "app.py", str(self.rows), str(self.slow_s), *self.options, *more], cwd=self.folder,
            env=environment(self.folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    @property
    def run_dir(self) -> Path | None:
        found = list((self.folder / "run").glob("lost-*"))
        return found[0] if found else None

    def ids(self) -> Counter[int]:
        with (self.folder / "out.jsonl").open() as lines:
            return Counter(json.loads(line)["id"] for line in lines)

    def letters(self) -> list[int]:
        return sorted(letter.row for letter in ps.read_dead_letters("lost", state_dir=self.folder / "state"))

    def require_exact(self) -> None:
        """Every row was written once, or set aside once."""
        bad = [x for x in range(self.rows) if x % 1000 == 7]
        assert self.letters() == bad
        assert self.ids() == Counter(set(range(self.rows)) - set(bad))

    def newest(self) -> str:
        """The id of the newest checkpoint; empty: there is none yet."""
        state = read_state(RunPaths(self.run_dir).checkpoint_state) if self.run_dir is not None else None
        return state.id if state is not None else ""


def until(condition: Callable[[], object], timeout_s: float = 100.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        select.select([], [], [], 0.01)


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it was going
        os.kill(pid, signal.SIGKILL)


def lose_the_machine(program: Program, process: subprocess.Popen[str]) -> None:
    """All processes and all memory are gone; disks stay."""
    lose_the_processes(program, process)
    shutil.rmtree(program.folder / "run", ignore_errors=True)


def lose_the_processes(program: Program, process: subprocess.Popen[str]) -> None:
    run_dir = program.run_dir
    assert run_dir is not None
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not [kill(pid) for pid in processes_of(run_dir) if pid != os.getpid()])
    process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "finished" in out
    return err


def test_a_run_resumes_exactly_once_from_its_newest_checkpoint_when_the_machine_is_lost(tmp_path: Path) -> None:
    program = Program(tmp_path, 40_000, "store", slow_s=0.02)
    for state_survives in (True, False):
        process, before = program.start(), program.newest()
        until(lambda before=before: program.newest() not in ("", before))
        lose_the_machine(program, process)
        if not state_survives:
            shutil.rmtree(tmp_path / "state", ignore_errors=True)
    assert "resumes from checkpoint" in finish(program.start())
    program.require_exact()


def test_state_by_key_is_that_of_the_checkpoint_and_then_of_the_run_that_was_told_to_end(tmp_path: Path) -> None:
    program = Program(tmp_path, 40_000, "store", slow_s=0.02, program=COUNTING)
    process = program.start()
    until(program.newest)
    lose_the_machine(program, process)
    process = program.start()
    until(program.newest)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert "resumes from checkpoint" in err
    assert process.returncode == -signal.SIGINT
    assert "where the run stood" in finish(program.start())
    with (tmp_path / "out.jsonl").open() as lines:
        rows = [json.loads(line) for line in lines]
    assert Counter(row["id"] for row in rows) == Counter(range(40_000))
    counts = Counter((row["key"], row["seen"]) for row in rows)
    assert counts == Counter((key, n + 1) for key in range(101) for n in range(len(range(key, 40_000, 101))))


def test_queues_on_a_disk_whose_machine_was_restarted_are_passed_over_for_a_checkpoint(tmp_path: Path) -> None:
    program = Program(tmp_path, 20_000, "store", slow_s=0.02)
    process = program.start()
    until(program.newest)
    run_dir = program.run_dir
    assert run_dir is not None
    lose_the_processes(program, process)
    left = rundir.read_manifest(run_dir)
    assert left is not None
    RunPaths(run_dir).settled.unlink(missing_ok=True)  # else all had reached the disk
    RunPaths(run_dir).manifest.write_bytes(rundir.encode_manifest(replace(left, boot_id="another")))
    assert "resumes from checkpoint" in finish(program.start())
    program.require_exact()


def test_workers_and_checkpointers_are_killed_at_random_and_then_the_machine_is_lost(tmp_path: Path) -> None:
    program = Program(tmp_path, 40_000, "store", slow_s=0.02)
    process = program.start()
    until(lambda: program.newest() not in ("", "2"))
    chance, kills, deadline = random.Random(7), 0, time.monotonic() + 60
    while kills < 12 and process.poll() is None and time.monotonic() < deadline:
        run_dir = program.run_dir
        victims = [pid for pid in processes_of(run_dir) if _is_victim(pid)] if run_dir is not None else []
        if victims:
            kill(chance.choice(victims))
            kills += 1
        select.select([], [], [], chance.random() * 0.2)
    if process.poll() is None:
        lose_the_machine(program, process)
        process = program.start()
    finish(process)
    program.require_exact()


def _is_victim(pid: int) -> bool:
    """A worker or a checkpointer: the supervisor's death is another test."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        grandparent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
        lineage = Path(f"/proc/{grandparent}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False
    return _CHECKPOINTER in command or (b"supervisor.main" in command and b"supervisor.main" in lineage)


def test_pins_that_a_stopped_checkpointer_holds_do_not_stop_the_run_for_good(tmp_path: Path) -> None:
    program = Program(tmp_path, 20_000, "store", slow_s=0.0)
    process = program.start()
    until(lambda: program.newest() or process.poll() is not None)
    for pid in processes_of(program.run_dir) if program.run_dir is not None else ():
        try:
            if _CHECKPOINTER in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGSTOP)
        except OSError:
            continue
    finish(process)
    program.require_exact()


@pytest.mark.parametrize("how", ["drain", "stop"])
def test_a_run_that_is_told_to_end_is_resumed_where_it_stood_without_any_store(tmp_path: Path, how: str) -> None:
    program = Program(tmp_path, 30_000, slow_s=0.02)
    process = program.start()
    until(lambda: (tmp_path / "out.jsonl").exists() and (tmp_path / "out.jsonl").stat().st_size > 1000)
    process.send_signal(signal.SIGINT)
    if how == "stop":
        select.select([], [], [], 0.05)
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    assert process.returncode == -signal.SIGINT
    assert list((tmp_path / "state" / "positions").iterdir())
    assert not program.run_dir
    written = sum(program.ids().values())
    assert 0 < written < 30_000
    assert "where the run stood" in finish(program.start())
    program.require_exact()
    assert not (tmp_path / "state" / "positions").exists()


def test_a_finished_run_with_a_store_starts_from_the_beginning_the_next_time(tmp_path: Path) -> None:
    program = Program(tmp_path, 500, "store", slow_s=0.0)
    finish(program.start())
    (tmp_path / "out.jsonl").unlink()
    assert "resumes" not in finish(program.start())
    assert len(program.ids()) == 499


# In this process.


def _app(rows: int, out: Path, *, key: str = "k") -> ps.Pipeline:
    def slow(x: int) -> dict[str, int]:
        time.sleep(0.001)
        return {"id": x, key: x % 3}

    app = ps.Pipeline("told")
    app.source(range(rows), name="numbers").stage("slow").map(slow).sink(files.json_lines(out), name="store")
    return app


def test_fresh_starts_over_and_forgets_where_the_last_run_stood(tmp_path: Path) -> None:
    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    out = tmp_path / "out.jsonl"
    handle = _app(2000, out).start(**where)
    until(lambda: out.exists() and out.stat().st_size > 100)
    assert handle.stop().resumes
    out.unlink()
    assert _app(2000, out).run(fresh=True, **where).outcome == "finished"
    assert [json.loads(line)["id"] for line in out.open()] == list(range(2000))
    assert not (tmp_path / "state" / "positions").exists()


def test_a_pipeline_of_another_layout_is_refused_with_the_difference_named(tmp_path: Path) -> None:
    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    handle = _app(2000, tmp_path / "out.jsonl").start(**where)
    until(lambda: (tmp_path / "out.jsonl").exists())
    handle.stop()
    with pytest.raises(LayoutChanged, match=r"is of another layout:\n  stage numbers: .*"):
        _app(3000, tmp_path / "out.jsonl").run(**where)


def test_a_store_that_fails_is_a_warning_and_a_number_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store"
    handle = _app(10_000, tmp_path / "out.jsonl").start(
        run_dir=tmp_path / "run", state_dir=tmp_path / "state",
        checkpoint=ps.checkpoint(store, every="20ms"),
    )
    until(lambda: (now := handle.status().checkpoints) is not None and now.newest)
    store.rename(tmp_path / "gone")
    store.write_text("this is no folder")
    until(lambda: (now := handle.status().checkpoints) is not None and now.failed and now.last_error)
    assert handle.wait().outcome == "finished"
    assert "no checkpoint: " in caplog.text


def test_a_savepoint_is_taken_when_it_is_asked_for_and_kept(tmp_path: Path) -> None:
    program = Program(tmp_path, 20_000, "store", slow_s=0.02)
    process = program.start()
    until(lambda: program.newest())
    asked = subprocess.run(
        [sys.executable, "-m", "penstock", "checkpoint", "lost", "--run-dir", "run"], cwd=tmp_path,
        env=environment(tmp_path), capture_output=True, text=True, timeout=100, check=False,
    )
    assert asked.returncode == 0, asked.stderr
    taken, savepoint = program.newest(), int(asked.stdout)
    until(lambda: int(program.newest()) > int(taken) + 5)
    lose_the_machine(program, process)
    kept = read_log(open_store(tmp_path / "store", "lost")).manifests
    assert {manifest.number: manifest.savepoint for manifest in kept}[savepoint]


@pytest.mark.parametrize("case", ["no store", "fresh, too"])
def test_a_beginning_that_cannot_be_meant_is_refused_and_nothing_is_discarded(tmp_path: Path, case: str) -> None:
    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    out = tmp_path / "out.jsonl"
    handle = _app(2000, out).start(**where)
    until(lambda: out.exists() and out.stat().st_size > 100)
    assert handle.stop().resumes
    store = None if case == "no store" else ps.checkpoint(tmp_path / "store")
    with pytest.raises(ValueError, match=r"needs the store|starts over, from_checkpoint='3' resumes; give one"):
        _app(2000, out).run(checkpoint=store, from_checkpoint="3", fresh=case != "no store", **where)
    assert _app(2000, out).run(**where).outcome == "finished"
    assert [json.loads(line)["id"] for line in out.open()] == list(range(2000))


def test_a_run_whose_first_checkpoint_is_late_is_told_that_the_store_is_not_to_blame(tmp_path: Path) -> None:
    where = {"run_dir": tmp_path / "run", "state_dir": tmp_path / "state"}
    late = ps.checkpoint(tmp_path / "store", every="1ms", max_age="10ms")  # a process takes longer to start
    told = r"no checkpoint was made within max_age=0\.01 s, and the store has reported no error: run again"
    with pytest.raises(ps.PipelineFailed, match=told):
        _app(20_000, tmp_path / "out.jsonl").run(checkpoint=late, **where)
