"""Bells: how a slot sleeps until a neighbour has news. A word says what its owner sleeps for; a FIFO wakes it.

Whoever publishes rings the neighbours that sleep for that very news. Sleeping is: say so, `fence`, look once more,
then wait; ringing is: publish, `fence`, look at the neighbour's word. Without the fences both can miss each other.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from penstock.byte_files import DISK, Files, make_file
from penstock.channel.words import drain, fence
from penstock.errors import QueueDamaged
from penstock.run_files import open_file
from penstock.shared_file import Opening

T = TypeVar("T")
_BYTES: Final = 4096
SAFETY_POLL_S: Final = 2.0
"""A sleeper looks around this often even when nobody rings."""


class Sleep(IntEnum):
    """What a slot sleeps for; bits, so that one can sleep for several."""

    AWAKE = 0
    FOR_INPUT = 1
    FOR_ROOM = 2
    FOR_MORE = 4
    """There is input, and more is waited for: ring, and do not hurry."""


def create_bell(path: Path) -> None:
    """Make the FIFO at `path` and its word beside it."""
    os.mkfifo(path, 0o600)
    create_word(path)


def create_word(path: Path, files: Files = DISK) -> None:
    """Make the word of a bell, without its FIFO."""
    make_file(files, _word_path(path), _BYTES)


def _word_path(path: Path) -> Path:
    return path.with_name(path.name + ".asleep")


def open_fifo(path: Path, what: str) -> int:
    """Both ends of a FIFO, non-blocking. Raises `QueueDamaged` where something else stands there."""
    fd = open_file(path, what)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise QueueDamaged(path, f"{what} is no longer a FIFO")
    return fd


def ring(path: Path) -> None:
    """Wake the owner of a FIFO once, who may not be there: then he looks around when he comes."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENXIO):
            return
        raise
    try:
        os.write(fd, b"!")
    except BlockingIOError:
        return  # full of rings already: the owner will wake
    finally:
        os.close(fd)


class Ringer:
    """The end of a bell for those who ring always, whether its owner sleeps or not: a descriptor and no page."""

    def __init__(self, path: Path) -> None:
        self.fd = open_fifo(path, "a bell")

    def ring(self) -> None:
        """Wake the owner."""
        try:
            os.write(self.fd, b"!")
        except BlockingIOError:
            return  # full of rings already: the owner will wake

    def close(self) -> None:
        if self.fd >= 0:  # a second close does nothing: an edge's two ends may be in one process
            os.close(self.fd)
            self.fd = -1


class Bell:
    """One end of a bell; the owner sleeps on it, neighbours ring it. A `FifoBell`, or one in memory."""

    def __init__(self, path: Path, opening: Opening) -> None:
        self._file = opening(_word_path(path), "a bell's word", size=_BYTES)
        self._words = self._file.words

    @property
    def asleep(self) -> int:
        """What the owner sleeps for: bits of `Sleep`."""
        return int(self._words[0])

    def say_asleep(self, why: int) -> None:
        """Owner only: from now on neighbours ring. Look once more after this, then `wait`."""
        self._words[0] = why
        # The fence between saying "I sleep" and looking once more (trap 5). Rings that it swallows are no loss: what
        # they were for was published before them, and the look that comes now finds it.
        self.drain()

    def say_awake(self) -> None:
        """Owner only: no more ringing needed."""
        # No fence: a neighbour that still sees the old word rings once too often, which does no harm.
        self._words[0] = Sleep.AWAKE

    def ring(self) -> None:
        """Wake the owner."""
        raise NotImplementedError

    def drain(self) -> None:
        """Owner only: forget the rings so far, as a fence. Before each `wait` that no `say_asleep` goes before."""
        raise NotImplementedError

    def fence(self) -> None:
        """Between publishing and looking at the neighbours' words."""
        fence()

    def close(self) -> None:
        """Let go of it. A second time does nothing."""
        self._file.close()


class FifoBell(Bell):
    """A bell between processes."""

    def __init__(self, path: Path, opening: Opening) -> None:
        self._ringer = Ringer(path)
        try:
            super().__init__(path, opening)
        except BaseException:
            self._ringer.close()
            raise

    @property
    def fd(self) -> int:
        """Readable when it was rung."""
        return self._ringer.fd

    def ring(self) -> None:
        self._ringer.ring()

    def drain(self) -> None:
        drain(self._ringer.fd)

    def close(self) -> None:
        super().close()
        self._ringer.close()


class MemoryBell(Bell):
    """A bell between slots that share a process and take turns: all who name its path are given this one."""

    def __init__(self, path: Path, opening: Opening) -> None:
        super().__init__(path, opening)
        self.rung = False

    def ring(self) -> None:
        self.rung = True

    def drain(self) -> None:
        self.rung = False

    def close(self) -> None:
        """One of those who name it is through with it; the others are not."""


class OnePerPath(Generic[T]):
    """One end for each bell, however many edges lead to its owner."""

    def __init__(self, open: Callable[[Path], T]) -> None:
        self._open = open
        self._by_path: dict[Path, T] = {}

    def of(self, path: Path) -> T:
        """The end of this bell; opened when it is asked for first. Raises `QueueDamaged`."""
        found = self._by_path.get(path)
        if found is None:
            found = self._by_path[path] = self._open(path)
        return found


class Waits(Protocol):
    """What a slot waits on: a `Waiter`, a `MemoryWaiter`, or where rows are coroutines their event loop."""

    def watch(self, fds: set[int]) -> None: ...
    def wait(self, timeout_s: float) -> set[int]: ...


class Waiter:
    """What a slot waits on: its bell and any other descriptors."""

    def __init__(self, bell: FifoBell) -> None:
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
        """Sleep until rung, a descriptor is ready or the time is over; gives the other descriptors that are ready.

        What is in the bell stays there: whoever sleeps again says so first, which drains it.
        """
        # A ring that came since the look is still in the FIFO, and epoll tells of it at once.
        ready = self._epoll.poll(max(timeout_s, 0.0))
        if not self._others:
            return set()
        return {fd for fd, _ in ready if fd != self._bell.fd}

    def close(self) -> None:
        self._epoll.close()


class MemoryWaiter:
    """What a slot waits on that shares a process with its neighbours: others run while it waits."""

    def __init__(self, bell: MemoryBell, give_way: Callable[[float], None]) -> None:
        """`give_way(timeout_s)`: lets others run until the bell is rung, or the time is over."""
        self._bell = bell
        self._give_way = give_way

    def watch(self, fds: set[int]) -> None:
        """Descriptors are asked about whenever the slot has its turn."""

    def wait(self, timeout_s: float) -> set[int]:
        """Until rung, or the time is over."""
        if not self._bell.rung:
            self._give_way(max(timeout_s, 0.0))
        return set()
