"""Starts a zygote. It imports what workers need, and then waits to be told whose program it is (`zygote_process`).

Imported by a supervisor before anything else: whatever is imported here delays all workers.
"""

from __future__ import annotations

import os
import socket
import subprocess

from penstock.supervisor import own_process
from penstock.supervisor.environment import environment, marked


class StartedZygote:
    """A zygote that was told nothing yet."""

    def __init__(self, run_dir: str, run_id: str) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stderr = os.memfd_create("penstock-import")
        self.process = own_process.start(
            "penstock.supervisor.zygote", {"socket_fd": theirs.fileno(), "run_dir": run_dir}, run_dir,
            fds=[theirs.fileno()],
            # What the program prints when imported, the caller has printed already.
            stdout=subprocess.DEVNULL, stderr=self.stderr, env=marked(environment(os.environ), run_id),
        )
        theirs.close()

    def give_up(self) -> None:
        """End it: there will be no run."""
        self.process.kill()
        self.process.wait()
