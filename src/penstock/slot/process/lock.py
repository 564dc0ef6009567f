"""The lock of a slot: two lives of one slot never overlap.

`fcntl` record locks, because children that user code forks do not inherit them (trap 8). Closing any descriptor of the
file drops them, so the one here stays open for life.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from pathlib import Path

from penstock.errors import NotPrivate
from penstock.private_files import open_own
from penstock.run_files import refused
from penstock.slot.process.wait_for_exit import wait_for_exit

_FLOCK = "hhqqi4x"


def try_lock(path: Path) -> int | None:
    """Take the lock for this process's life; its descriptor, or None when somebody has it."""
    try:
        fd = open_own(path, os.O_RDWR | os.O_CREAT)
    except (OSError, NotPrivate) as exc:
        raise refused(path, "the lock of the slot", exc) from exc
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(fd)
        if exc.errno in (errno.EACCES, errno.EAGAIN):
            return None
        raise
    return fd


def holder(path: Path) -> int | None:
    """The process that has the lock."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        query = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, query))
        return None if kind == fcntl.F_UNLCK else int(pid)
    finally:
        os.close(fd)


def take_over(path: Path) -> int:
    """Take the lock, killing a straggler of an earlier life that still has it."""
    while (fd := try_lock(path)) is None:
        # The lock of a large worker becomes free long after it was killed (trap 29): wait until it is gone, then retry.
        pid = holder(path)
        if pid is not None:
            kill_and_wait(pid)
    return fd


def kill_and_wait(pid: int) -> None:
    """SIGKILL a process and wait until it is gone."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        wait_for_exit(pidfd)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)
