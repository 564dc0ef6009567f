"""Starts a zygote: a fork of the supervisor, which has one thread and holds nothing of the user's.

It has what the supervisor has imported by then, imports what else workers need, and waits to be told whose program it
is (`zygote_process`). An exec would start an interpreter and import all of that a second time, on every row's way.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Collection
from functools import partial

from penstock.slot.process import signals
from penstock.slot.process.process_end import end_with

Opened = tuple[int, str]
"""A descriptor and what it leads to: the number alone may be another file's by the next look."""


class StartedZygote:
    """A zygote that was told nothing yet."""

    def __init__(self, run_dir: str, keeps: frozenset[Opened]) -> None:
        """`keeps`: descriptors that are not the supervisor's own; the zygote closes all others."""
        self._run_dir = run_dir
        self._keeps = keeps
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stderr = os.memfd_create("penstock-import")
        self._code: int | None = None
        with signals.held_back():
            self.pid = os.fork()
            if self.pid == 0:
                end_with(partial(_become_zygote, theirs.fileno(), self.stderr, run_dir, keeps))
        theirs.close()

    def another(self) -> StartedZygote:
        """Start the next one, as this one was."""
        return StartedZygote(self._run_dir, self._keeps)

    def reap(self) -> None:
        """Take its exit status, where it has exited."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """Nothing, if it has been reaped: the number may be another process's by now."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, once it has ended; negative: the signal that ended it."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def give_up(self) -> None:
        """End it: there will be no run."""
        self.kill()
        self.wait()


def _become_zygote(socket_fd: int, stderr: int, run_dir: str, keeps: frozenset[Opened]) -> int:
    """In the child. Its frames stand on those of the supervisor, so that nothing there is ever freed."""
    # Nor are cycles that wait for the collector: they would close descriptors that by then are others'.
    gc.freeze()
    signal.set_wakeup_fd(-1)
    # What the program prints when imported, the caller has printed already.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(stderr, 2)
    # What is the supervisor's: with its end of the lifeline, nobody would notice its death; with its locks, nobody
    # could take them; with its sockets, those at the other end would not see that it is gone.
    for fd, _ in open_descriptors(but=(0, 1, 2, socket_fd)) - keeps:
        os.close(fd)
    from penstock.supervisor import zygote

    zygote.main(socket_fd, run_dir)
    return 0


def open_descriptors(but: Collection[int] = ()) -> frozenset[Opened]:
    """Those of this process."""
    with os.scandir("/proc/self/fd") as entries:
        found = {int(entry.name): os.readlink(entry.path) for entry in entries}
    own = f"/proc/{os.getpid()}/fd"  # by which they were listed; it is closed by now
    return frozenset((fd, path) for fd, path in found.items() if fd not in but and path != own)
