"""A process that writes checkpoints to a directory, killed before each of its system calls."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest

from checkpoints.cuts import held, holder, take
from penstock.checkpoints.claimed import Claimed, claim
from penstock.checkpoints.directory_store import DirectoryStore
from penstock.checkpoints.history import read_log
from sweep import sweep_ptrace as ptrace

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def _may_trace() -> None:
    if reason := ptrace.why_not():
        pytest.skip(reason)


def _content(number: int) -> tuple[bytes, bytes]:
    return b"log " * number, b"queue %d" % number


def _works(store: DirectoryStore, told: int) -> None:
    """Claims, takes three checkpoints, and keeps one; tells of each that it made."""
    claimed: Claimed = claim(store, holder())
    for number in (1, 2, 3):
        take(claimed, *_content(number))
        os.write(told, b"%d" % number)
        claimed.retain(1)


def _killed_before(nth: int, place: Path) -> tuple[bool, bytes]:
    """(it was killed, what it told) of a process that dies before this system call, counted from 1."""
    reading, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
            _works(DirectoryStore(place, "clicks"), told)
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    os.close(told)
    os.waitpid(pid, os.WUNTRACED)
    ptrace.seize(pid, ptrace.OPTION_SYSGOOD | ptrace.OPTION_EXITKILL)
    os.kill(pid, signal.SIGCONT)
    calls = 0
    while True:
        _, status = os.waitpid(pid, ptrace.WALL)
        if not os.WIFSTOPPED(status):
            break
        if os.WSTOPSIG(status) == ptrace.SYSCALL_STOP and ptrace.syscall_info(pid).op == ptrace.ENTRY:
            calls += 1
            if calls == nth:
                os.kill(pid, signal.SIGKILL)
                continue
        ptrace.go_on_to_syscall(pid)
    try:
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status), os.read(reading, 100)
    finally:
        os.close(reading)


def _contents(place: Path) -> list[tuple[bytes, bytes]]:
    """Of the checkpoints that count, oldest first; all must be whole."""
    store = DirectoryStore(place, "clicks")
    reading = read_log(store)
    assert not reading.problems
    found = [held(store, manifest) for manifest in reading.manifests]
    assert all(content in [_content(number) for number in (1, 2, 3)] for content in found)
    return found


def _takes_up(place: Path) -> None:
    """The next one goes on from what is there, and leaves nothing that nobody needs."""
    claimed = claim(DirectoryStore(place, "clicks"), holder(2))
    take(claimed, b"log " * 9, b"last")
    claimed.retain(1)
    assert held(claimed.store, claimed.manifests[-1]) == (b"log " * 9, b"last")
    assert set(os.listdir(place / "clicks" / "files")) == claimed.manifests[-1].files
    assert len(os.listdir(place / "clicks" / "log")) == 2


EVERY = 61
"""A sample of the system calls; with 1 it takes minutes, and was seen to pass."""


def test_whenever_the_writer_is_killed_what_it_told_is_there_and_whole(tmp_path):
    nth, killed = 0, True
    while killed:
        nth += EVERY
        place = tmp_path / f"store-{nth}"
        killed, told = _killed_before(nth, place)
        found = _contents(place)
        number = len(told)
        assert found[-1:] in ([_content(number)], [_content(number + 1)]) if number else len(found) <= 1
        _takes_up(place)
    assert told == b"123"
    assert nth > 900


def test_a_store_whose_writers_are_killed_again_and_again_stays_right(tmp_path):
    rng = random.Random(7)
    there = 0
    for _ in range(40):
        _, told = _killed_before(rng.randrange(1, 3000), tmp_path / "store")
        found = _contents(tmp_path / "store")
        assert len(found) >= min(there, 1)
        there = max(there, len(told))
    assert there
    _takes_up(tmp_path / "store")
