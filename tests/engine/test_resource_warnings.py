"""Nothing that penstock opens is left to the collector: `python -W error -X dev` is silent, however runs end."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_scripts import python, write

SCRIPT = """
    import os, signal, sys, threading
    import penstock as ps


    def work(x):
        if "fail" in sys.argv:
            raise ValueError(x)
        return x


    def rows():
        return ps.Pipeline("tidy").source(range(100), name="numbers").stage("work", workers=2).map(work)


    class Forever:
        def __call__(self):
            while True:
                yield 1


    if __name__ == "__main__":
        app = ps.Pipeline("sunk")
        endless = Forever() if "endless" in sys.argv else range(100)
        app.source(endless, name="numbers").stage("work").map(work).sink(ps.discard())
        {run}
        print("end")
"""
RUNS = {
    "run": "app.run(run_dir='runs')",
    "start": """
        with app.start(run_dir='runs') as handle:
            handle.status()""",
    "results": """
        with rows().results(run_dir='runs') as given:
            next(given)""",
    "results-to-the-end": "list(rows().results(run_dir='runs'))",
    "lost-results": """
        given = rows().results(run_dir='runs')
        next(given)
        del given""",
    "fail": """
        try:
            app.run(run_dir='runs')
        except ps.PipelineFailed:
            pass""",
    "endless ctrl-c": """
        handle = app.start(run_dir='runs')
        handle.drain()
        threading.Timer(2, os.kill, [os.getpid(), signal.SIGINT]).start()
        try:
            app.run(run_dir='runs')
        except KeyboardInterrupt:
            pass""",
    "endless left": """
        handle = app.start(run_dir='runs')
        handle.leave()
        handle.wait_a_while(60)""",
    "endless killed": """
        handle = app.start(run_dir='runs')
        os.kill(handle.supervisor_pid, signal.SIGKILL)
        try:
            handle.wait()
        except ps.PipelineFailed:
            pass""",
}


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_left_open(name: str, tmp_path: Path) -> None:
    script = write(tmp_path, "tidy.py", SCRIPT.format(run=RUNS[name].strip()))
    done = python(tmp_path, "-W", "error", "-X", "dev", str(script), *name.split())
    assert done.stdout.endswith("end\n"), done.stderr
    assert "Warning" not in done.stderr and "ignored" not in done.stderr, done.stderr
