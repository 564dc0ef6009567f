"""Files that are damaged while the pipeline runs: it ends soon, with the name of the file; no row is blamed."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage_kit import BAD, BOUND_S, Stand, is_full, wait_until

import penstock as ps
from penstock.channel.words import load_cursor
from penstock.engine import rundir
from penstock.engine.deployment import Deployment
from penstock.engine.handle import Handle
from penstock.engine.supervisor_link import SupervisorLink
from penstock.metrics.catalogue import Word
from penstock.metrics.snapshot import take_snapshot

pytestmark = pytest.mark.timeout(300)
CONTROL_BYTES = 4096
TAIL_WORD = 8


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Stand]:
    """A pipeline that has not been run; what is started of it ends with the test."""
    stand = Stand(tmp_path)
    yield stand
    for handle in stand.handles:
        if not handle.over:
            handle.ask_to_stop()
            handle.wait_a_while(BOUND_S)


def started(live: Stand) -> Handle:
    """It runs, everything is full, the rows behind are held up."""
    handle = live.start()
    live.handles.append(handle)
    wait_until(lambda: is_full(handle), handle)
    return handle


def release(live: Stand) -> None:
    live.killed.touch()
    fd = os.open(live.never, os.O_RDWR)
    os.write(fd, b"x" * 100)  # stays in the pipe for whoever comes
    live.kept.append(fd)


def ends_with_the_name_of(path: Path, handle: Handle, live: Stand) -> None:
    try:
        with pytest.raises(ps.PipelineFailed) as caught:
            handle.wait(timeout=f"{BOUND_S:g}s")
    finally:
        os.close(live.kept.pop())
    said = str(caught.value)
    assert str(path) in said
    assert "--fresh" in said
    assert caught.value.traceback == ""
    assert set(live.letters()) <= BAD, "an innocent row was set aside"


def published_tail(path: Path) -> int:
    """Where the backlog of a queue ends."""
    words = memoryview(path.read_bytes()[:CONTROL_BYTES]).cast("Q")
    return load_cursor(words, TAIL_WORD)


def test_a_flipped_byte_of_a_backlog_ends_the_run_when_it_is_read(live: Stand) -> None:
    handle = started(live)
    path = handle.run_dir / "queues" / "work->hold.0-0"
    with path.open("r+b") as file:
        # The last frame there: the first ones may be read already, and a copy of them is in work.
        place = CONTROL_BYTES + (published_tail(path) - 64) % (path.stat().st_size - CONTROL_BYTES)
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 4]))
    release(live)
    ends_with_the_name_of(path, handle, live)


CUT = [
    "queues/work->hold.1-0", "queues/numbers->work.0-1", "slots/work.0/journal", "slots/hold.0/journal",
    "slots/work.1/work.page", "slots/hold.0/work", "slots/hold.0/bell.asleep", "control",
]  # fmt: skip


# What has one page of memory only is not missed by anybody while half of it is there.
@pytest.mark.parametrize(
    ("name", "size"), [*((name, 0) for name in CUT), *((name, 0.5) for name in CUT[:5])]
)
def test_a_file_that_is_cut_is_blamed_and_no_row(name: str, size: float, live: Stand) -> None:
    """Its worker dies of SIGBUS. Supervisor and calling process look at it, too, and live on to say so."""
    handle = started(live)
    path = handle.run_dir / name
    os.truncate(path, int(path.stat().st_size * size))
    try:
        handle.status()
    except ps.QueueDamaged as damaged:
        assert damaged.path == path
    release(live)
    ends_with_the_name_of(path, handle, live)


@pytest.mark.parametrize("name", ["queues/work->hold.1-0", "slots/hold.0/journal", "slots/hold.0/work", "plan.pickle"])
def test_a_file_that_is_missing_when_a_worker_is_replaced_is_named(name: str, live: Stand) -> None:
    handle = started(live)
    [pid] = _worker(handle, "hold")
    path = handle.run_dir / name
    path.unlink()
    release(live)
    os.kill(pid, signal.SIGKILL)
    ends_with_the_name_of(path, handle, live)


def test_a_damaged_plan_is_not_used(live: Stand) -> None:
    """A changed constant in it would be a wrong result without an error."""
    handle = started(live)
    [pid] = _worker(handle, "hold")
    path = handle.run_dir / "plan.pickle"
    data = bytearray(path.read_bytes())
    data[random.Random(5).randrange(20, len(data))] ^= 1
    path.write_bytes(data)
    release(live)
    os.kill(pid, signal.SIGKILL)
    ends_with_the_name_of(path, handle, live)


def _worker(handle: Handle, stage: str) -> list[int]:
    return [page.words[Word.PID] for page in take_snapshot(handle.run_dir).stages[stage].pages]


def test_nothing_of_the_supervisor_or_the_caller_is_mapped(live: Stand) -> None:
    """So that no file that somebody cuts can kill them."""
    handle = started(live)
    handle.status()
    try:
        for pid in (handle.supervisor_pid, os.getpid()):
            assert f"{handle.run_dir}/" not in Path(f"/proc/{pid}/maps").read_text()
    finally:
        handle.stop()


@pytest.mark.parametrize("size", [0, 5000])
def test_a_cut_queue_of_results_is_an_error_of_the_calling_process_and_not_its_death(size: int) -> None:
    app = ps.Pipeline("cut-results")
    numbers = app.source(range(300_000), name="numbers")
    results = numbers.stage("work", edge=ps.Edge(memory="512 KiB")).map(str).results(fresh=True)
    assert next(results) == "0"
    [queue] = [p for p in (results.handle.run_dir / "queues").iterdir() if p.name.startswith("work->")]
    os.truncate(queue, size)
    with pytest.raises((ps.QueueDamaged, ps.PipelineFailed), match=r"work->.* was cut"):
        list(results)
    results.close()
    for run in rundir.find_runs():
        if run.name == "cut-results":
            rundir.remove(run)


def test_a_supervisor_that_cannot_have_its_files_says_which(live: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go between the look at a take-over and the moment when the supervisor is given the run."""
    real = SupervisorLink.__init__

    def give(link: SupervisorLink, deployment: Deployment) -> None:
        (deployment.paths.root / "control").unlink()
        real(link, deployment)

    monkeypatch.setattr(SupervisorLink, "__init__", give)
    with pytest.raises(ps.PipelineFailed, match="control: the control page is missing"):
        live.start()
