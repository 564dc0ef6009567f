"""Bells: how a slot sleeps until a neighbour has news. A named FIFO and a word that says whether its owner sleeps.

Whoever publishes rings the neighbours that sleep for that very news. Sleeping is: say so, `fence`, look once more,
then wait; ringing is: publish, `fence`, look at the neighbour's word. Without the fences both can miss each other.
"""

from __future__ import annotations

import mmap
import os
import select
from enum import IntEnum
from pathlib import Path

from penstock.channel.words import drain, fence
from penstock.errors import QueueDamaged

_BYTES = 4096


class Sleep(IntEnum):
    """What a slot sleeps for; bits, so that one can sleep for both."""

    AWAKE = 0
    FOR_INPUT = 1
    FOR_ROOM = 2


def create_bell(path: Path) -> None:
    """Make the FIFO at `path` and its word beside it."""
    os.mkfifo(path, 0o600)
    fd = os.open(_word_path(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(fd, 0, _BYTES)
    finally:
        os.close(fd)


def _word_path(path: Path) -> Path:
    return path.with_name(path.name + ".asleep")


class Bell:
    """One end of a bell; the owner sleeps on it, neighbours ring it."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        word_path = _word_path(path)
        fd = os.open(word_path, os.O_RDWR)
        try:
            if os.fstat(fd).st_size != _BYTES:
                raise QueueDamaged(word_path, "a bell's word has the wrong size")
            self._map = mmap.mmap(fd, _BYTES)
        finally:
            os.close(fd)
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")

    @property
    def asleep(self) -> int:
        """What the owner sleeps for: bits of `Sleep`."""
        return int(self._words[0])

    def ring(self) -> None:
        """Wake the owner."""
        try:
            os.write(self.fd, b"!")
        except BlockingIOError:
            return  # full of rings already: the owner will wake

    def say_asleep(self, why: int) -> None:
        """Owner only: from now on neighbours ring. Look once more after this, then `wait`."""
        self._words[0] = why
        drain(self.fd)

    def say_awake(self) -> None:
        """Owner only: no more ringing needed."""
        self._words[0] = Sleep.AWAKE

    def fence(self) -> None:
        """Between publishing and looking at the neighbours' words."""
        fence()

    def close(self) -> None:
        self._words.release()
        self._bytes.release()
        self._map.close()
        if self.fd >= 0:  # a second close does nothing: an edge's two ends may be in one process
            os.close(self.fd)
            self.fd = -1


class Waiter:
    """What a slot waits on: its bell and any other descriptors."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._epoll = select.epoll()
        self._epoll.register(bell.fd, select.EPOLLIN)
        self._others: set[int] = set()

    def watch(self, fds: set[int]) -> None:
        """Also wake for these descriptors; replaces the ones named before."""
        for fd in self._others - fds:
            self._epoll.unregister(fd)
        for fd in fds - self._others:
            self._epoll.register(fd, select.EPOLLIN)
        self._others = set(fds)

    def wait(self, timeout_s: float) -> set[int]:
        """Sleep until rung, a descriptor is ready or the time is over; gives the other descriptors that are ready."""
        ready = {fd for fd, _ in self._epoll.poll(max(timeout_s, 0.0))}
        if self._bell.fd in ready:
            drain(self._bell.fd)
        return ready - {self._bell.fd}

    def close(self) -> None:
        self._epoll.close()
