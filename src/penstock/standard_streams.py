"""Standard streams: those of the caller as seen from a worker, and what becomes of those that are closed.

In a worker, descriptors 1 and 2 lead to the supervisor's log. A caller may have closed its own, as daemons do; then
the next file that it opens would be its standard error, and Python has no object for the stream.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import sys
from typing import TextIO

_fds = {"stdin": 0, "stdout": 1}
_NAMES = ("standard input", "standard output", "standard error")
_filled: set[int] = set()
"""Descriptors that were closed and lead to /dev/null since."""


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
    """True: what this process prints is blocked now."""
    return any(is_full(fd) for fd in {1, 2, stdout_fd()})


def set_stdout_fd(fd: int) -> None:
    """Called by a worker's main before any sink opens."""
    _fds["stdout"] = fd


def set_stdin_fd(fd: int) -> None:
    """Called by tests; a worker has the caller's at 0."""
    _fds["stdin"] = fd


def fill_gaps() -> None:
    """Lead closed standard descriptors to /dev/null, before anything else gets their numbers."""
    for fd in range(len(_NAMES)):
        if not _is_open(fd):
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:  # the lowest free number is given, so this is the one that is closed
                os.close(null)
                raise OSError(f"{_NAMES[fd]} was closed and opened again by another thread")
            os.set_inheritable(fd, True)
            _filled.add(fd)


def closed(fd: int) -> bool:
    """True: the program was started without this descriptor, or has closed it."""
    return fd in _filled or not _is_open(fd)


def is_read_only(fd: int) -> bool:
    """True: it was opened for reading only."""
    return _is_open(fd) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def is_write_only(fd: int) -> bool:
    """True: it was opened for writing only."""
    return _is_open(fd) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def is_terminal(stream: TextIO | None) -> bool:
    """True where somebody sits before it; a stream that is closed or not there is none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def write_rows(data: bytes) -> None:
    """Write what a sink printed to standard output as it is now; raises what the stream raises.

    As UTF-8 untouched; another encoding shows what it lacks as `\\xe4`.
    """
    stream = sys.stdout
    if stream is None:
        raise OSError("it is closed")
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
    text = data.decode("utf-8", "replace")
    if encoding not in ("utf-8", "utf8"):
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text)
    stream.flush()


def tell(line: str) -> None:
    """A line on standard error. If there is none, or nobody can read it, nothing is said, and the run continues."""
    stream = sys.stderr
    if stream is not None:
        # `print` would take standard output for a stream that is not there.
        with contextlib.suppress(OSError, ValueError):
            stream.write(f"{line}\n")
            stream.flush()
