"""Starting the supervisor: a process and a session of its own, first with one socket of the caller, then with the run.

It is started as soon as it is known which run it will be, and imports what it needs while the caller makes the files.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from penstock.engine import forks
from penstock.supervisor import own_process
from penstock.supervisor.environment import environment, marked
from penstock.supervisor.handover import hand_over

_LEAVES_S = 10.0


class SupervisorProcess:
    """A supervisor that was started, and the caller's end of its socket."""

    def __init__(self, run_dir: Path, run_id: str) -> None:
        self.socket, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        forks.tell_of_forks(self)  # endpoints may fork while the files are made
        theirs = forks.close_in_children(other_end.detach())
        caller = os.pidfd_open(os.getpid())
        told = {"socket_fd": theirs, "caller_fd": caller, "run_dir": str(run_dir)}
        try:
            self.process = own_process.start(
                "penstock.supervisor.main", told, str(run_dir), fds=[theirs, caller], start_new_session=True,
                # For the workers, which are forks of forks of it: libraries look when a process starts.
                env=marked(environment(os.environ), run_id),
            )
        except BaseException:
            self.socket.close()
            raise
        finally:
            forks.close(theirs)
            os.close(caller)

    def give(self, fds: Sequence[int]) -> None:
        """Hand it the run, whose files are made. One that is gone by now is noticed by whoever listens to it.

        Raises `OSError` if it cannot be handed over: the supervisor would wait for the rest, and its caller for it.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            hand_over(self.socket, fds)

    def give_up(self) -> None:
        """There will be no run: have it leave, with what it has started."""
        self.socket.close()
        try:
            self.process.wait(_LEAVES_S)
        except subprocess.TimeoutExpired:  # stopped, or stuck
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """End it at once: it was given nothing, and its zygote, which finds it gone, leaves."""
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def forked(self) -> None:
        """In a forked child: it is the parent's, and must hear when the parent hangs up."""
        self.socket.close()
