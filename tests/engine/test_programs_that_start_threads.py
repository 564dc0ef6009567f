"""Programs that start threads, hang or die when imported: their workers run all the same, or it is told why not."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from engine_scripts import python, write

HEAD = """
    import os, sys, threading, time, penstock as ps
    from penstock.connectors import files
"""
TAIL = """
    app = ps.Pipeline("threads")
    app.source(range(1000), name="numbers").stage("work", workers=2).map(work).sink(
        files.json_lines("out.jsonl"), name="store"
    )
    if __name__ == "__main__":
        report = app.run(run_dir="run", progress=False)
        print(report.outcome, sum(stage.restarts for stage in report.stages.values()))
        os._exit(0)  # whatever threads the program has
"""
A_LOCK = """
    LOCK = threading.Lock()
    def hold():
        while True:
            with LOCK: time.sleep(0.02)
    threading.Thread(target=hold, daemon=True, name="holder").start()
    while not LOCK.locked(): pass
    def work(x):
        with LOCK: return x
"""
A_READ = """
    import io, polars
    TABLE = polars.read_csv(io.BytesIO(b"a,b\\n1,2\\n" * 1000))
    def work(x):
        return x if TABLE.lazy().select(polars.col("a").len()).collect().item() else -1
"""
A_THREAD_THAT_ENDED = """
    THREAD = threading.Thread(target=int)
    THREAD.start()
    THREAD.join()
    def work(x):
        return x
"""
IDLE_LIBRARIES = """
    import duckdb, numpy, pandas, polars, pyarrow
    def work(x):
        return x
"""


def _lines(folder: Path) -> list[int]:
    return sorted(int(line) for line in (folder / "out.jsonl").read_text().split())


@pytest.mark.parametrize("body", [A_LOCK, A_READ], ids=["lock", "polars"])
def test_threads_of_import_do_not_hang_the_workers(tmp_path: Path, body: str) -> None:
    write(tmp_path, "threads.py", HEAD + body + TAIL)
    ran = python(tmp_path, "threads.py")
    assert ran.stdout == "finished 0\n", ran.stderr
    assert ran.stderr.count("workers are started by exec") == 1
    assert _lines(tmp_path) == list(range(1000))


@pytest.mark.parametrize("body", [A_THREAD_THAT_ENDED, IDLE_LIBRARIES], ids=["ended", "libraries"])
def test_workers_are_forked_where_no_thread_would_be_missing(tmp_path: Path, body: str) -> None:
    write(tmp_path, "threads.py", HEAD + body + TAIL)
    ran = python(tmp_path, "threads.py")
    assert (ran.stdout, "by exec" in ran.stderr) == ("finished 0\n", False), ran.stderr


def test_a_worker_that_is_started_by_exec_is_restarted_when_it_is_killed(tmp_path: Path) -> None:
    kills = """
    import signal
    class Work:
        def open(self, context): self.context = context
        def __call__(self, x):
            if x == 500 and self.context.attempt == 1: os.kill(os.getpid(), signal.SIGKILL)
            with LOCK: return x
    work = Work
"""
    write(tmp_path, "threads.py", HEAD + A_LOCK + kills + TAIL)
    ran = python(tmp_path, "threads.py")
    assert ran.stdout == "finished 1\n", ran.stderr
    assert _lines(tmp_path) == list(range(1000))


DIES = """
    if __name__ != "__main__":
        with open("imports", "a") as file: file.write(".")
        sys.stderr.write("the licence server said no\\n")
        sys.stderr.flush()
        {deed}
    def work(x): return x
"""


@pytest.mark.parametrize(
    ("deed", "how"), [("os._exit(3)", "exit code 3"), ("os.kill(os.getpid(), 11)", "signal SIGSEGV")]
)
def test_a_program_that_dies_when_imported_is_told_after_the_second_time(tmp_path: Path, deed: str, how: str) -> None:
    write(tmp_path, "threads.py", HEAD + DIES.format(deed=deed) + TAIL)
    ran = python(tmp_path, "threads.py")
    assert ran.returncode == 1
    assert how in ran.stderr and "the licence server said no" in ran.stderr
    assert (tmp_path / "imports").read_text() == ".."


HANGS = """
    class Work:
        {where}
        def wait_for_the_server(self):
            if not os.path.exists("told"): open("told", "w").close(); time.sleep(15)
    work = Work
"""


@pytest.mark.parametrize(
    "where",
    [
        "def open(self, context): self.wait_for_the_server()\n        def __call__(self, x): return x",
        "def __call__(self, x): self.wait_for_the_server(); return x",
    ],
    ids=["open", "row"],
)
def test_a_worker_that_hangs_before_its_first_row_is_reported_with_its_stack(tmp_path: Path, where: str) -> None:
    write(tmp_path, "threads.py", HEAD + HANGS.format(where=where) + TAIL)
    ran = python(tmp_path, "threads.py")
    assert ran.stdout == "finished 0\n", ran.stderr
    assert len(re.findall(r"worker work/\d has done nothing but wait for 5 s", ran.stderr)) == 1
    assert "in wait_for_the_server" in ran.stderr


def test_a_program_that_hangs_while_it_is_imported_is_reported_with_its_stack(tmp_path: Path) -> None:
    hangs = """
    def wait_for_the_server():
        time.sleep(13)
    if __name__ != "__main__": wait_for_the_server()
    def work(x): return x
"""
    write(tmp_path, "threads.py", HEAD + hangs + TAIL)
    began = time.monotonic()
    ran = python(tmp_path, "threads.py")
    assert ran.stdout == "finished 0\n" and time.monotonic() - began > 13, ran.stderr
    assert "still being imported" in ran.stderr and "in wait_for_the_server" in ran.stderr
