"""A worker, a supervisor or a zygote that dies before any single system call or shared store leaves nothing wrong.

A sample of what `bench/crash_sweep.py` does for every point: the same points each time. `tests/README.md` says which
rules were taken out to see it fail: "Crash points".
"""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import sweep_points as points
import sweep_ptrace as ptrace
from sweep_effects import OPTIONS, Victim
from sweep_pipeline import STAGES
from sweep_run import Request

pytestmark = pytest.mark.chaos

EVERY = 18
LONGEST = 440
"""Effects of the longest life of a worker, as last seen; more points kill nobody."""


@pytest.fixture(scope="module", autouse=True)
def _may_trace() -> None:
    if reason := ptrace.why_not():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def sweeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[points.Sweeper]:
    with points.Sweeper(tmp_path_factory.mktemp("sweep")) as found:
        yield found


def _assert_exact(sweeper: points.Sweeper, requests: Iterable[Request], least_kills: int) -> None:
    kills = 0
    for request in requests:
        swept = sweeper.sweep(request)
        assert list(swept.wrong) == [], (request, swept.kills)
        kills += len(swept.kills)
    assert kills >= least_kills


@pytest.mark.parametrize("role", STAGES)
def test_the_result_is_exact_wherever_a_worker_dies(role: str, sweeper: points.Sweeper) -> None:
    first = 1 + STAGES.index(role) * 5
    _assert_exact(sweeper, points.once(role, range(first, LONGEST, EVERY)), 12)


def test_the_result_is_exact_wherever_a_writer_to_a_database_dies(sweeper: points.Sweeper) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    _assert_exact(sweeper, points.once("sink", range(5, 700, 60), database=True), 10)


def test_the_result_is_exact_when_a_worker_dies_and_its_successor_while_it_takes_over(sweeper: points.Sweeper) -> None:
    _assert_exact(sweeper, points.twice("middle", range(3, 200, 17), LONGEST), 18)


def test_the_result_is_exact_when_all_workers_die(sweeper: points.Sweeper) -> None:
    _assert_exact(sweeper, points.all_at_once(range(7, LONGEST, 37), LONGEST), 30)


def test_the_result_is_exact_wherever_the_supervisor_dies(sweeper: points.Sweeper) -> None:
    _assert_exact(sweeper, points.of_supervisor((1, 90, 180, 270, 350)), 4)


def test_the_result_is_exact_wherever_the_zygote_dies(sweeper: points.Sweeper) -> None:
    _assert_exact(sweeper, points.of_zygote((1, 7, 20, 33, 50)), 4)


def test_a_process_killed_before_a_store_has_made_all_stores_before_it_and_not_this_one(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.write_bytes(bytes(4096))
    for stores in range(4):
        victim = _killed_at(lambda: _store_four_words(path), str(tmp_path), lambda v, n=stores + 1: v.stores == n)
        assert victim.killed_before.startswith("store to /shared")
        assert list(memoryview(path.read_bytes()).cast("Q")[:4]) == [1] * stores + [0] * (4 - stores)
        path.write_bytes(bytes(4096))


def test_a_process_killed_before_a_system_call_has_not_made_it(tmp_path: Path) -> None:
    path = tmp_path / "written"
    victim = _killed_at(lambda: path.write_bytes(b"something"), str(tmp_path), lambda v: v.last == "write")
    assert victim.killed_before == "write"
    assert path.read_bytes() == b""


class _Choosing(Victim):
    """Dies before the first effect that `condition` is true of, whatever its number."""

    last = ""
    condition = staticmethod(lambda victim: False)

    def _effect(self, what: str) -> None:
        self.last = what
        if self.condition(self):
            self.kill_at = self.effects + 1
        super()._effect(what)


def _killed_at(act, root: str, condition) -> Victim:  # type: ignore[no-untyped-def]
    wait, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(wait, 1)
        act()
        os._exit(0)
    ptrace.seize(pid, OPTIONS)
    victim = _Choosing(pid, root, 0)
    victim.condition = condition  # type: ignore[method-assign,assignment]
    ptrace.interrupt(pid)
    os.write(go, b"!")
    os.close(wait)
    os.close(go)
    while True:
        _, status = os.waitpid(pid, ptrace.WALL)
        if not os.WIFSTOPPED(status):
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            return victim
        victim.on_stop(pid, os.WSTOPSIG(status), status >> 16)


def _store_four_words(path: Path) -> None:
    fd = os.open(path, os.O_RDWR)
    words = memoryview(mmap.mmap(fd, 4096)).cast("Q")
    for index in range(4):
        words[index] = 1
