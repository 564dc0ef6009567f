"""The lock of a slot: it goes over to the successor whenever the last holder is gone, and not before."""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.slot.process import lock

LARGE = 512 * 1024 * 1024
"""The kernel takes its time to free so much, and only then lets the lock go."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def forked() -> Iterator[Callable[[Callable[[], None]], int]]:
    """Forks a child that does something and then waits to be killed; gives its id once that is done."""
    pids: list[int] = []

    def fork(does: Callable[[], None]) -> int:
        mine, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                does()
                os.write(theirs, b"!")
                signal.pause()
            finally:
                os._exit(1)
        os.close(theirs)
        pids.append(pid)
        said = os.read(mine, 1)
        os.close(mine)
        assert said == b"!", "the child failed"
        return pid

    yield fork
    for pid in pids:
        os.kill(pid, signal.SIGKILL)  # it is a zombie at least: nobody else waits for it
        os.waitpid(pid, 0)


def test_a_slot_goes_over_however_long_the_kernel_takes_to_free_a_large_worker(
    path: Path, forked: Callable[[Callable[[], None]], int]
) -> None:
    def hold() -> None:
        assert lock.try_lock(path) is not None
        memory = mmap.mmap(-1, LARGE)
        memory.write(b"x" * LARGE)

    straggler = forked(hold)
    assert lock.holder(path) == straggler
    assert lock.try_lock(path) is None
    fd = lock.take_over(path)
    assert Path(f"/proc/{straggler}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    os.close(fd)


def test_a_child_that_the_holder_forked_does_not_have_the_lock(
    path: Path, forked: Callable[[Callable[[], None]], int]
) -> None:
    fd = lock.try_lock(path)
    assert fd is not None
    forked(lambda: None)  # has a copy of the descriptor, and lives on
    os.close(fd)
    again = lock.try_lock(path)
    assert again is not None
    os.close(again)
