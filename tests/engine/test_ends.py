"""How lives and runs end: a worker's end is proved by its word, a run's by its journals; no corpse holds up anybody."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_lines import Line
from engine_scripts import environment, finish, processes_of, python, start, wait_for_ends, write

import penstock as ps
from penstock.engine import rundir, supervisor_link
from penstock.slot.records.life import Exit
from penstock.testing import ListSink


def _wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        select.select([], [], [], 0.005)


def _children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


# Workers.


CODES = (*Exit, 1, 70, 255)


@pytest.mark.parametrize("fused", [False, True])
def test_a_row_that_exits_is_set_aside_whatever_its_code_and_nothing_else_is_lost(where: Any, fused: bool) -> None:
    def work(x: int) -> int:
        if x % 100 == 50 and x // 100 < len(CODES):
            os._exit(CODES[x // 100])
        return x

    app, out = ps.Pipeline("exits"), ListSink[int]()
    worked = app.source(range(1200), name="numbers").stage("work").map(work)
    worked.sink(out, name=None if fused else "out", fused=fused)
    report = app.run(**where)
    assert report.outcome == "finished"
    exited = {100 * i + 50 for i in range(len(CODES))}
    assert sorted(out.rows) == [x for x in range(1200) if x not in exited]
    letters = list(ps.read_dead_letters("exits", state_dir=where["state_dir"]))
    assert {letter.row for letter in letters} == exited
    assert all(f"(exit code {CODES[letter.row // 100]})" in str(letter.error) for letter in letters)


def test_an_error_of_a_megabyte_is_told_and_kills_nobody(where: Any) -> None:
    def work(x: int) -> int:
        raise ValueError("long" * 300_000)

    app = ps.Pipeline("long-error")
    app.source([1], name="numbers").stage("work", on_error=ps.fail()).map(work).sink(ps.discard(), name="out")
    with pytest.raises(ps.PipelineFailed) as caught:
        app.run(**where)
    assert caught.value.stage == "work" and "longlonglong" in caught.value.reason


def test_orphans_of_user_code_are_reaped_while_the_run_is_up(where: Any, heard: Line, told: Line) -> None:
    def work(x: int) -> int:
        for _ in range(200):
            os.system("true &")
        heard.say(x)
        told.hear()
        return x

    app, out = ps.Pipeline("orphans"), ListSink[int]()
    app.source([1], name="numbers").stage("work", timeout=None).map(work).sink(out, name="out")
    handle = app.start(**where)
    heard.hear()
    _wait_until(lambda: not any(_state_of(pid) == "Z" for pid in _children_of(handle.supervisor_pid)))
    told.say()
    assert handle.wait(timeout="60s").outcome == "finished"


# Programs of user code, when the supervisor is killed.


@pytest.mark.parametrize("deed", ["child", "session", "exec", "closed"])
def test_what_user_code_started_ends_when_the_supervisor_is_killed(
    where: Any, heard: Line, told: Line, deed: str
) -> None:
    def work(x: int) -> int:
        import subprocess

        if deed in ("child", "session"):
            process = subprocess.Popen(["sleep", "1000"], start_new_session=deed == "session")
            heard.say(process.pid)
            told.hear()
        elif deed == "exec":
            heard.say(os.getpid())
            os.execvp("sleep", ["sleep", "1000"])
        else:
            heard.say(os.getpid())
            os.closerange(3, 4096)
            while True:
                time.sleep(60)
        return x

    app = ps.Pipeline("programs")
    app.source([1], name="numbers").stage("work", timeout=None).map(work).sink(ps.discard(), name="out")
    handle = app.start(**where)
    pid = int(heard.hear())
    if deed == "exec":
        _wait_until(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes())
    if deed == "closed":
        _wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) == 3)
    os.kill(handle.supervisor_pid, signal.SIGKILL)
    with pytest.raises(ps.PipelineFailed, match="killed"):
        handle.wait(timeout="60s")
    wait_for_ends({pid}, 30.0)


# Who was stopped by a signal answers nobody.


def _held(heard: Line, told: Line, workers: int = 1) -> ps.Pipeline:
    def work(x: int) -> int:
        heard.say(os.getpid())
        told.hear()
        return x

    app = ps.Pipeline("held")
    app.source([1], name="numbers").stage("work", timeout=None, workers=workers).map(work).sink(
        ps.discard(), name="out"
    )
    return app


def test_a_run_whose_zygote_was_stopped_can_be_stopped(where: Any, heard: Line, told: Line) -> None:
    handle = _held(heard, told).start(**where)
    worker = int(heard.hear())
    [zygote] = [pid for pid in _children_of(handle.supervisor_pid) if pid != worker]
    os.kill(zygote, signal.SIGSTOP)
    assert handle.stop().outcome == "stopped"
    wait_for_ends({zygote, worker})
    assert not handle.run_dir.exists()


def test_a_zygote_that_tells_of_no_death_is_replaced(where: Any, heard: Line, told: Line) -> None:
    handle = _held(heard, told).start(**where)
    worker = int(heard.hear())
    [zygote] = [pid for pid in _children_of(handle.supervisor_pid) if pid != worker]
    os.kill(zygote, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    assert int(heard.hear()) != worker
    told.say()
    assert handle.wait(timeout="60s").outcome == "finished"


def test_a_supervisor_that_was_stopped_is_killed_when_it_does_not_obey(
    where: Any, heard: Line, told: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_link, "_SILENT_S", 0.5)
    handle = _held(heard, told).start(**where)
    worker = int(heard.hear())
    os.kill(handle.supervisor_pid, signal.SIGSTOP)
    with pytest.raises(ps.PipelineFailed, match="did not answer"):
        handle.stop()
    wait_for_ends({worker})
    assert handle.run_dir.exists()


# The user's program.

PROGRAM = """
    import json, multiprocessing, os, signal, sys, time, penstock as ps
    from penstock.connectors import files

    DEED = sys.argv[1]

    def say(text):
        fd = os.open("heard", os.O_RDWR)
        os.write(fd, f"{text}\\n".encode())
        os.close(fd)

    def work(x):
        if x == 500:
            say("half")
            if DEED in ("helper", "leave", "hang-up", "results"):
                os.read(os.open("told", os.O_RDWR), 1)
        return {"n": x}

    app = ps.Pipeline("program")
    counted = app.source(range(1000), name="count").stage("work", edge=ps.Edge(batch_rows=10), timeout=None).map(work)
    if DEED.startswith("results"):
        rows = counted
    else:
        counted.sink(files.json_lines("out.jsonl", if_exists="append"), name="out")
    if __name__ == "__main__":
        if DEED == "helper":
            context = multiprocessing.get_context("fork")
        if DEED == "leave":
            handle = app.start(run_dir="run")
            open(os.open("gone", os.O_RDWR)).readline()
            sys.exit(0)
        if DEED == "helper":
            handle = app.start(run_dir="run")
            helper = context.Process(target=time.sleep, args=(1000,))
            helper.start()
            say(f"helper {helper.pid}")
            handle.wait()
        report = app.run(run_dir="run", progress=False)
        print(report.outcome)
"""


def _numbers(folder: Path) -> list[int]:
    return [int(line[5:-1]) for line in (folder / "out.jsonl").read_text().splitlines()]


@pytest.fixture
def program(tmp_path: Path, heard: Line, told: Line) -> Path:
    os.mkfifo(tmp_path / "gone")
    return write(tmp_path, "program.py", PROGRAM)


def test_a_helper_that_the_dead_program_forked_keeps_its_run_neither_alive_nor_locked(
    program: Path, heard: Line
) -> None:
    process = start(program.parent, program.name, "helper")
    said = [heard.hear(), heard.hear()]
    helper = int(next(text for text in said if text.startswith("helper")).split()[1])
    [found] = rundir.find_runs(program.parent / "run")
    pids = processes_of(found.path) - {process.pid, helper}
    process.kill()
    process.wait()
    try:
        wait_for_ends(pids)
        done = python(program.parent, program.name, "none")
        assert (done.stdout, done.returncode) == ("finished\n", 0), done.stderr
        assert _state_of(helper) in "SR"
    finally:
        os.kill(helper, signal.SIGKILL)
        finish(process)
    assert _numbers(program.parent) == list(range(1000))


def test_a_program_that_ends_with_its_run_up_leaves_it_to_its_next_run(program: Path, heard: Line) -> None:
    process = start(program.parent, program.name, "leave")
    heard.hear()
    [found] = rundir.find_runs(program.parent / "run")
    pids = processes_of(found.path)
    with open(program.parent / "gone", "w") as gone:
        gone.write("\n")
    finish(process)
    wait_for_ends(pids)
    [left] = rundir.find_runs(program.parent / "run")
    assert (left.pid, left.phase) == (None, "left")
    done = python(program.parent, program.name, "none")
    assert (done.stdout, done.returncode) == ("finished\n", 0), done.stderr
    assert _numbers(program.parent) == list(range(1000))


def test_a_hang_up_drains(program: Path, heard: Line, told: Line) -> None:
    process = start(program.parent, program.name, "hang-up")
    heard.hear()
    for _ in range(2):  # a shell and the kernel send one each
        process.send_signal(signal.SIGHUP)
    told.say()
    finish(process)
    assert process.returncode in (0, 4)  # 4: the input was cut short
    rows = _numbers(program.parent)
    assert rows == list(range(len(rows))) and len(rows) > 500
    assert rundir.find_runs(program.parent / "run") == []


def test_a_hang_up_that_nohup_ignores_is_ignored(program: Path, heard: Line, told: Line) -> None:
    import subprocess

    process = subprocess.Popen(
        ["nohup", sys.executable, program.name, "hang-up"], cwd=program.parent, env=environment(program.parent),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )
    heard.hear()
    process.send_signal(signal.SIGHUP)
    told.say()
    out, err = finish(process)
    assert (out, process.returncode) == ("finished\n", 0), err


@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["supervisor", "program", "both"])
def test_each_row_is_written_once_whoever_is_killed_while_the_run_ends(
    program: Path, heard: Line, told: Line, victim: str
) -> None:
    """Killed at eight moments between the middle of the input and the exit, by the pace of a run before; what did not
    exit with 0 is run again, as it says."""
    folder, killed = program.parent, 0
    for share in (None, 0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1):
        (folder / "out.jsonl").unlink(missing_ok=True)
        for line in (heard, told):  # a run before may have spoken twice, or died before it listened
            while not line.silent():
                line.hear()
        process = start(folder, program.name, "hang-up")  # held in the middle until it is told
        heard.hear()
        [found] = rundir.find_runs(folder / "run")
        assert found.pid is not None
        told.say()
        began = time.monotonic()
        if share is None:
            _wait_until(lambda pid=found.pid: _state_of(pid) in ("gone", "Z"))  # type: ignore[misc]
            took_s = time.monotonic() - began
        else:
            select.select([], [], [], share * took_s)
            for pid in {"supervisor": [found.pid], "program": [process.pid], "both": [found.pid, process.pid]}[victim]:
                killed += _state_of(pid) not in ("gone", "Z")
                _kill(pid)
        out, _ = finish(process)
        # A run whose directory is gone was through, whether or not its program lived to say so.
        if process.returncode != 0 and "finished" not in out and found.path.exists():
            done = python(folder, program.name, "none")
            assert (done.stdout, done.returncode) == ("finished\n", 0), done.stderr
        assert _numbers(folder) == list(range(1000)), share
        for left in rundir.find_runs(folder / "run"):
            rundir.remove(left)
    assert killed


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_forked_child_is_told_that_the_run_is_its_parents(where: Any, heard: Line, told: Line) -> None:
    handle = _held(heard, told).start(**where)
    heard.hear()
    pid = os.fork()
    if pid == 0:
        try:
            handle.stop()
        except RuntimeError:
            os._exit(7)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    told.say()
    assert handle.wait(timeout="60s").outcome == "finished"


# What is told of an end.

CAUSES = """
    import sys, threading, penstock as ps

    class Refused(Exception):
        def __init__(self, code, body):
            super().__init__(code, body)
            self.code, self.body = code, body

    class Particular(Exception):
        def __init__(self, code):
            super().__init__(f"code {code}")
            self.lock = threading.Lock()

    def work(x):
        raise Refused(503, {"retry": True}) if sys.argv[1] == "row" else Particular(7)

    class Model:
        def open(self, context):
            raise Refused(404, {})

        def __call__(self, x):
            return x

    app = ps.Pipeline("causes")
    app.source([1]).stage("work", on_error=ps.fail()).map(Model if sys.argv[1] == "open" else work).sink(ps.discard())
    if __name__ == "__main__":
        try:
            app.run(progress=False, run_dir="run")
        except ps.PipelineFailed as failed:
            cause = failed.__cause__
            print(type(cause).__name__, isinstance(cause, Refused) and (cause.code, cause.body))
"""


@pytest.mark.parametrize(
    ("deed", "told"),
    [("row", "Refused (503, {'retry': True})"), ("open", "Refused (404, {})"), ("particular", "NoneType False")],
)
def test_the_original_exception_is_the_cause_where_it_can_be_pickled(tmp_path: Path, deed: str, told: str) -> None:
    write(tmp_path, "causes.py", CAUSES)
    done = python(tmp_path, "causes.py", deed)
    assert done.stdout == f"{told}\n", done.stderr


def test_a_clock_that_is_set_back_makes_no_retry_wait(where: Any) -> None:
    def work(x: int) -> int:
        now = time.time
        if x == 1:
            time.time = lambda: now() - 3600.0
        elif x == 0 and not hasattr(time, "tried"):
            time.tried = True  # type: ignore[attr-defined]
            raise ValueError("once more")
        return x

    app, out = ps.Pipeline("clock"), ListSink[int]()
    app.source([0, 1], name="numbers").stage("work", retries=2, retry_delay="300ms").map(work).sink(out, name="out")
    assert app.start(**where).wait(timeout="60s").outcome == "finished"
    assert sorted(out.rows) == [0, 1]
