"""Ctrl-C, SIGTERM, and kills of the processes around the workers, as they meet a user's script."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from engine_lines import Line
from engine_scripts import finish, processes_of, python, start, wait_for_ends, write

from penstock.engine import rundir

SCRIPT = """
    import os, re, sys, penstock as ps
    from penstock.connectors import files, load

    def say(text):
        fd = os.open("heard", os.O_RDWR)
        os.write(fd, f"{text}\\n".encode())
        os.close(fd)

    def number(x, random):
        return x

    def work(x):
        if x == 5000:
            say("working")
            if DEED == "hold":
                os.read(os.open("told", os.O_RDWR), 1)
            if DEED == "regex":
                re.match(r"(a+)+$", "a" * 60 + "b")
        return {"x": x}

    DEED = sys.argv[1]
    app = ps.Pipeline("steady")
    source = load.generate(number, load.steady("100000/s")) if DEED == "endless" else range(300_000)
    counted = app.source(source, name="count").stage("work", edge=ps.Edge(memory="512 KiB"))
    counted.map(work).sink(files.json_lines("out.jsonl"), name="out")
    if __name__ == "__main__":
        try:
            report = app.run(run_dir="run", progress=False)
        except BaseException as end:
            print(type(end).__name__, getattr(end, "code", ""), end.report.outcome, end.report.dead_letters)
            raise
        print(report.outcome, report.undelivered_rows, report.dead_letters)
"""


@pytest.fixture
def script(tmp_path: Path, heard: Line, told: Line) -> Path:
    return write(tmp_path, "steady.py", SCRIPT)


def _numbers(folder: Path) -> list[int]:
    lines = (folder / "out.jsonl").read_text().splitlines()
    return [int(line.removeprefix('{"x":').removesuffix("}")) for line in lines]


def _run_dir(folder: Path) -> Path:
    [found] = rundir.find_runs(folder / "run")
    return found.path


def test_ctrl_c_drains_a_bounded_run_and_is_a_keyboard_interrupt(script: Path, heard: Line, told: Line) -> None:
    process = start(script.parent, script.name, "hold")
    heard.hear()
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr is not None
    assert "draining; interrupt again to stop at once" in process.stderr.readline()
    told.say()
    out, err = finish(process)
    assert out == "KeyboardInterrupt  drained 0\n"
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    rows = _numbers(script.parent)
    assert rows == list(range(len(rows)))
    assert len(rows) > 5000
    assert rundir.find_runs(script.parent / "run") == []


def test_sigterm_drains_a_bounded_run_and_exits_with_4(script: Path, heard: Line, told: Line) -> None:
    process = start(script.parent, script.name, "hold")
    heard.hear()
    os.kill(process.pid, signal.SIGTERM)
    assert process.stderr is not None
    assert "draining" in process.stderr.readline()
    told.say()
    out, _ = finish(process)
    assert (out, process.returncode) == ("SystemExit 4 drained 0\n", 4)


def test_an_endless_run_that_is_interrupted_returns(script: Path, heard: Line) -> None:
    process = start(script.parent, script.name, "endless")
    heard.hear()
    os.kill(process.pid, signal.SIGINT)
    out, err = finish(process)
    assert (out, process.returncode) == ("drained 0 0\n", 0), err
    rows = _numbers(script.parent)
    assert rows == list(range(len(rows)))


def test_a_signal_to_the_whole_group_does_not_disturb_user_functions(script: Path, heard: Line, told: Line) -> None:
    process = start(script.parent, script.name, "hold")
    heard.hear()
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    assert "draining" in process.stderr.readline()
    told.say()
    out, _ = finish(process)
    assert out == "KeyboardInterrupt  drained 0\n"


def test_ctrl_c_twice_stops_at_once(script: Path, heard: Line) -> None:
    process = start(script.parent, script.name, "hold")
    heard.hear()
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr is not None
    assert "draining" in process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    out, _ = finish(process)
    assert out == "KeyboardInterrupt  stopped 0\n"
    assert rundir.find_runs(script.parent / "run") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGQUIT])
def test_the_next_run_resumes_after_the_program_was_killed(script: Path, heard: Line, number: int) -> None:
    """It starts at once, as a service manager would start it, whether or not the first one's workers have ended."""
    process = start(script.parent, script.name, "hold")
    heard.hear()
    pids = processes_of(_run_dir(script.parent)) - {process.pid}
    assert len(pids) >= 4
    process.send_signal(number)
    finish(process)
    done = python(script.parent, script.name, "none")
    wait_for_ends(pids)
    assert (done.stdout, done.returncode) == ("finished 0 0\n", 0), done.stderr
    assert "taking over" in done.stderr or "resumes" in done.stderr or done.stderr == ""
    assert _numbers(script.parent) == list(range(300_000))
    assert rundir.find_runs(script.parent / "run") == []


def _kill_supervisor(script: Path, heard: Line, deed: str) -> subprocess.Popen[str]:
    process = start(script.parent, script.name, deed)
    heard.hear()
    [found] = rundir.find_runs(script.parent / "run")
    assert found.pid is not None
    pids = processes_of(found.path)
    os.kill(found.pid, signal.SIGKILL)
    wait_for_ends(pids - {process.pid})
    return process


@pytest.mark.parametrize("deed", ["hold", "regex"])
def test_workers_die_with_their_supervisor_and_the_next_run_is_exact(script: Path, heard: Line, deed: str) -> None:
    process = _kill_supervisor(script, heard, deed)
    _, err = finish(process)
    assert process.returncode == 1
    assert "the supervisor was killed (signal SIGKILL)" in err
    [left] = rundir.find_runs(script.parent / "run")
    assert (left.name, left.pid) == ("steady", None)
    done = python(script.parent, script.name, "none")
    assert (done.stdout, done.returncode) == ("finished 0 0\n", 0), done.stderr
    assert _numbers(script.parent) == list(range(300_000))
    assert rundir.find_runs(script.parent / "run") == []


def test_nothing_is_left_when_all_are_killed_at_once_and_the_next_run_is_exact(script: Path, heard: Line) -> None:
    process = start(script.parent, script.name, "hold")
    heard.hear()
    pids = processes_of(_run_dir(script.parent)) | {process.pid}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # gone with the supervisor, if that came first
            os.kill(pid, signal.SIGKILL)
    finish(process)
    wait_for_ends(pids)
    done = python(script.parent, script.name, "none")
    assert (done.stdout, done.returncode) == ("finished 0 0\n", 0), done.stderr
    assert _numbers(script.parent) == list(range(300_000))
