"""The clock of a time-out: time in which the process was stopped, or its prints had to wait, is not the row's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from engine_lines import Line

import penstock as ps
from penstock.testing import ListSink


class Slow:
    """Needs less than its time for one row, and tells its process before."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def __call__(self, x: int) -> int:
        if x == 5:
            self.line.say(os.getpid())
            for _ in range(30):
                time.sleep(0.01)
        return x


def test_a_row_whose_worker_was_stopped_is_not_late(where: Any, heard: Line) -> None:
    app, out = ps.Pipeline("stopped"), ListSink[int]()
    app.source(range(10), name="numbers").stage("work", timeout="2s").map(Slow(heard)).sink(out, name="out")
    with app.start(**where) as handle:
        pid = int(heard.hear())
        os.kill(pid, signal.SIGSTOP)
        assert not handle.wait_a_while(6.0)  # more than the time-out and the watchdog's grace
        os.kill(pid, signal.SIGCONT)
        report = handle.wait(timeout="60s")
    assert out.rows == list(range(10))
    assert (report.dead_letters, report.stages["work"].restarts) == (0, 0)


PRINTS = """
    import penstock as ps

    def talk(x):
        for _ in range(40):
            print("x" * 50_000)
        return x

    app = ps.Pipeline("talks")
    app.source(range(3), name="numbers").stage("work", timeout="1s").map(talk).sink(ps.discard(), name="out")
    if __name__ == "__main__":
        report = app.run(run_dir="run", state_dir="state", progress=False)
        open("report", "w").write(f"{report.dead_letters} {report.stages['work'].restarts}")
"""


def test_a_row_whose_prints_wait_for_a_slow_reader_is_not_late(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(textwrap.dedent(PRINTS))
    with subprocess.Popen(
        [sys.executable, "talks.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        process.stdout.read(100)
        time.sleep(5)  # the reader's pause: what is tested
        process.stdout.read()
    assert (tmp_path / "report").read_text() == "0 0"
