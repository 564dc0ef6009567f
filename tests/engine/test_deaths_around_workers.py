"""What dies or breaks around a worker: the zygote that forked it, the files it reads."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from engine_lines import Line
from engine_scripts import python, wait_for_ends, write

import penstock as ps
from penstock.testing import ListSink


class Held:
    """Says who has the row, and gives it on when told."""

    def __init__(self, heard: Line, told: Line, row: int = 0) -> None:
        self.heard = heard
        self.told = told
        self.row = row

    def __call__(self, x: int) -> int:
        if x == self.row:
            self.heard.say(os.getpid())
            self.told.hear()
        return x


def _children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def test_a_dead_zygote_is_replaced_while_workers_that_it_forked_live_on(where: Any, heard: Line, told: Line) -> None:
    """Had the idle worker the zygote's socket, orders would go there and nobody would ever carry them out."""
    app, out = ps.Pipeline("held"), ListSink[int]()
    app.source([0], name="numbers").stage("work", workers=2).map(Held(heard, told)).sink(out, name="out")
    handle = app.start(**where)
    holder = int(heard.hear())
    [zygote] = _children_of(handle.supervisor_pid)
    os.kill(zygote, signal.SIGKILL)
    os.kill(holder, signal.SIGKILL)
    try:
        assert int(heard.hear()) != holder
    finally:
        told.say()
        told.say()
    assert handle.wait(timeout="30s").outcome == "finished"
    assert out.rows == [0]


def test_workers_of_a_later_zygote_die_with_their_supervisor_too(where: Any, heard: Line, told: Line) -> None:
    """It is forked from a supervisor that holds the lifeline, the run's lock and the sockets of all."""
    app = ps.Pipeline("later")
    app.source([0], name="numbers").stage("work").map(Held(heard, told)).sink(ps.discard(), name="out")
    handle = app.start(**where)
    holder = int(heard.hear())
    [first] = _children_of(handle.supervisor_pid)
    os.kill(first, signal.SIGKILL)
    os.kill(holder, signal.SIGKILL)
    later = int(heard.hear())
    assert later != holder
    zygote = _parent_of(later)
    assert zygote not in (first, handle.supervisor_pid)
    os.kill(handle.supervisor_pid, signal.SIGKILL)
    wait_for_ends({later, zygote})
    with pytest.raises(ps.PipelineFailed, match="supervisor was killed"):
        handle.wait(timeout="30s")
    again = app.start(**where)
    heard.hear()
    told.say()
    assert again.wait(timeout="30s").outcome == "finished"


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_queue_that_somebody_cut_is_blamed_and_no_row_of_it(where: Any, heard: Line, told: Line) -> None:
    """Its reader dies of SIGBUS, as a row's own doing would look."""
    app = ps.Pipeline("cut")
    app.source(range(200_000), name="numbers").stage("work", edge=ps.Edge(memory="512 KiB")).map(
        Held(heard, told)
    ).sink(ps.discard(), name="out")
    handle = app.start(**where)
    heard.hear()
    os.truncate(handle.run_dir / "queues" / "numbers->work.0-0", 4096)
    told.say()
    said = r"numbers->work\.0-0: the queue was cut from \d+ to 4096 bytes"
    with pytest.raises(ps.PipelineFailed, match=said) as caught:
        handle.wait(timeout="30s")
    assert caught.value.stage == "queues"
    assert list(ps.read_dead_letters("cut", state_dir=where["state_dir"])) == []


THREADS = """
    import os, numpy, pyarrow, penstock as ps

    def threads(x):
        return [len(os.listdir(f"/proc/{pid}/task")) for pid in (os.getpid(), os.getppid())]

    app = ps.Pipeline("threads")
    app.source([0], name="numbers").stage("work").map(threads).sink(print)
    if __name__ == "__main__":
        app.run(progress=False)
"""


def test_libraries_start_no_threads_in_the_process_that_workers_are_forked_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would, by the number of processors, and a fork takes none of them along."""
    pytest.importorskip("numpy")
    pytest.importorskip("pyarrow")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "JE_ARROW_MALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    write(tmp_path, "threads.py", THREADS)
    done = python(tmp_path, "threads.py")
    assert (done.stdout, done.stderr) == ("[1, 1]\n", "")
