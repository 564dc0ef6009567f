"""The lifeline: who holds it dies with the supervisor, at once, even inside a long call into C.

A FIFO that only the supervisor has open for writing. When it goes, the kernel signals every reader that asked for
it, and the signal asked for is SIGKILL. PDEATHSIG would watch the wrong process (the zygote), and only a thread of it.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

_F_SETSIG = 10


def hold(path: Path) -> bool:
    """Tie this process's life to the supervisor's. False: the supervisor is gone already."""
    # A description of its own: the owner to be signalled belongs to the description, not to the descriptor.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    # Only now the look: a supervisor that died before the signal was asked for sent none.
    try:
        return os.read(fd, 1) != b""  # nobody writes: an end of file means that no writer is left
    except BlockingIOError:
        return True
