"""A living worker as a process: signals reach this very one, never another that was given its number."""

from __future__ import annotations

import contextlib
import os
import signal

from penstock.slot.process.stack import ASKS


class WorkerProcess:
    """One process, known by its pidfd."""

    def __init__(self, pid: int, pidfd: int, born_at: float) -> None:
        """`born_at`: by the monotonic clock."""
        self.pid = pid
        self.pidfd = pidfd
        self.born_at = born_at
        self.exited_at: float | None = None
        """When its exit was seen whose status the zygote has yet to tell."""
        self.timed_out = False
        """True: the watchdog has killed it."""

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):  # it is a zombie already
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def time_out(self) -> None:
        """Kill it for what it did not end in time."""
        self.timed_out = True
        self.kill()

    def show_stack(self) -> None:
        """Ask a worker that listens where it stands."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, ASKS)

    def close(self) -> None:
        os.close(self.pidfd)
