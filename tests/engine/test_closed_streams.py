"""Standard streams of the calling program, closed, full, narrow or slow: a run ends as it should, and says so."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from engine_scripts import environment, finish, python, start, write

SCRIPT = """
    import os, sys, penstock as ps
    from penstock.connectors import files

    def text(x):
        return f"{x}\\u00e4\\u20ac"

    app = ps.Pipeline("streams")
    words = app.source(range(3000), name="numbers").stage("work").map(text)
    words.sink(print if "print" in sys.argv else ps.discard(), name="out")
    if __name__ == "__main__":
        if "own" in sys.argv:
            class Broken:
                encoding = "utf-8"
                def write(self, text): raise KeyError("the program's own stream")
                def flush(self): pass
            sys.stdout = Broken()
        report = app.run(run_dir="run", progress="progress" in sys.argv)
        with open("outcome", "w") as file:
            file.write(report.outcome)
"""
CLOSED = [which for size in (1, 2, 3) for which in itertools.combinations((0, 1, 2), size)]


def _run(
    folder: Path, *args: str, closed: tuple[int, ...] = (), stdout: str = os.devnull, stderr: str = os.devnull,
    env: dict[str, str] | None = None,
) -> int:
    """The exit code of the script, started without some of its descriptors."""
    write(folder, "streams.py", SCRIPT)

    def close() -> None:
        for fd in closed:
            os.close(fd)

    with open(stdout, "wb") as out, open(stderr, "wb") as err:
        return subprocess.run(
            [sys.executable, "streams.py", *args], cwd=folder, env=environment(folder) if env is None else env,
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=close, timeout=60, check=False,
        ).returncode


@pytest.mark.parametrize("closed", CLOSED)
def test_a_program_without_some_of_its_streams_runs_to_its_end(tmp_path: Path, closed: tuple[int, ...]) -> None:
    assert _run(tmp_path, "progress", closed=closed) == 0
    assert (tmp_path / "outcome").read_text() == "finished"


def test_a_program_without_home_terminal_or_path_runs_to_its_end(tmp_path: Path) -> None:
    bare = {"PYTHONPATH": environment(tmp_path)["PYTHONPATH"], "XDG_STATE_HOME": str(tmp_path / "state")}
    assert _run(tmp_path, env=bare) == 0
    assert (tmp_path / "outcome").read_text() == "finished"


def test_rows_for_a_standard_output_that_is_closed_are_refused_before_anything_starts(tmp_path: Path) -> None:
    assert _run(tmp_path, "print", closed=(1,), stderr=str(tmp_path / "said")) == 1
    assert "standard output is closed" in (tmp_path / "said").read_text()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("broken", ["full", "own"])
def test_a_standard_output_that_raises_fails_the_run_and_is_told_once(tmp_path: Path, broken: str) -> None:
    said = tmp_path / "said"
    stdout = "/dev/full" if broken == "full" else os.devnull
    assert _run(tmp_path, "print", broken, stdout=stdout, stderr=str(said)) != 0
    assert said.read_text().count("PipelineFailed: standard output cannot be written") == 1
    assert ("No space left on device" if broken == "full" else "the program's own stream") in said.read_text()
    assert not (tmp_path / "outcome").exists()


def test_a_standard_error_that_is_full_changes_nothing(tmp_path: Path) -> None:
    assert _run(tmp_path, "progress", stderr="/dev/full") == 0
    assert (tmp_path / "outcome").read_text() == "finished"


def test_what_the_encoding_of_standard_output_lacks_is_shown_escaped(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run(
        tmp_path, "print", stdout=str(out), env={**environment(tmp_path), "PYTHONIOENCODING": "ascii"}
    ) == 0
    assert out.read_text().splitlines() == [f"{x}\\xe4\\u20ac" for x in range(3000)]


SLOW = """
    import sys, penstock as ps

    def long_line(x):
        return f"{x} " + "\\u20ac" * 3000

    app = ps.Pipeline("slow")
    words = app.source(range(600), name="numbers").stage("work").map(long_line)
    words.sink(print, name="out")
    if __name__ == "__main__":
        sys.stderr.write("starts\\n")
        app.run(run_dir="run", progress=False)
"""


def test_a_reader_that_pauses_costs_no_time_and_loses_no_character(tmp_path: Path) -> None:
    write(tmp_path, "slow.py", SLOW)
    process = start(tmp_path, "slow.py")
    assert process.stderr is not None
    process.stderr.readline()
    supervisor = _supervisor_of(process.pid)
    deadline = time.monotonic() + 40
    while _is_busy(supervisor):  # until all that waits for the reader stands still
        assert time.monotonic() < deadline, "the supervisor spins while nobody reads"
    out, _ = finish(process)
    assert process.returncode == 0
    assert out.splitlines() == [f"{x} " + "\u20ac" * 3000 for x in range(600)]


def _supervisor_of(pid: int) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"penstock.supervisor.main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    raise TimeoutError("no supervisor was started")


def _is_busy(pid: int) -> bool:
    """True when the process uses more than a tenth of a core, over two seconds."""

    def used_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, began = used_s(), time.monotonic()
    signal.sigtimedwait([], 2.0)
    return used_s() - before > 0.1 * (time.monotonic() - began)


def test_waiting_ends_where_the_program_closed_all_descriptors(tmp_path: Path) -> None:
    """As programs do that become daemons. The run may get to its end or be lost; whoever waits for it hears which."""
    write(
        tmp_path, "daemon.py",
        """
        import os, time, penstock as ps

        def slow(n):
            time.sleep(0.01)
            return n

        app = ps.Pipeline("daemon")
        app.source(range(300)).stage("w").map(slow).sink(ps.discard())
        if __name__ == "__main__":
            handle = app.start(run_dir="run", state_dir="state")
            os.closerange(3, 200)
            try:
                print(handle.wait().outcome)
            except ps.PenstockError as error:
                print(type(error).__name__)
        """,
    )
    assert python(tmp_path, "daemon.py").stdout in ("finished\n", "PipelineFailed\n")
