"""The caller's standard streams, as seen from a worker: its own descriptors 1 and 2 lead to the supervisor's log."""

from __future__ import annotations

import os
import select
import stat

_fds = {"stdin": 0, "stdout": 1}


def stdin_fd() -> int:
    """The descriptor of the caller's standard input in this process."""
    return _fds["stdin"]


def stdout_fd() -> int:
    """The descriptor that leads to the caller's standard output in this process."""
    return _fds["stdout"]


def is_full(fd: int) -> bool:
    """True: it is a pipe, and whoever writes to it must wait for its reader."""
    try:
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return False
    except OSError:
        return False
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return not poll.poll(0)


def prints_wait() -> bool:
    """True: what this process prints cannot go on now."""
    return any(is_full(fd) for fd in {1, 2, stdout_fd()})


def set_stdout_fd(fd: int) -> None:
    """Called by a worker's main before any sink opens."""
    _fds["stdout"] = fd


def set_stdin_fd(fd: int) -> None:
    """Called by tests; a worker has the caller's at 0."""
    _fds["stdin"] = fd
