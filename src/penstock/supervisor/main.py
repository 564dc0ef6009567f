"""The supervisor's process: exec'ed by the caller with the run directory, its lock and a socket."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import msgspec

from penstock.supervisor.cleanup import remove_run_dir
from penstock.supervisor.protocol import RunSpec
from penstock.supervisor.supervisor import Supervisor


def main(socket_fd: int, lock_fd: int, run_dir: str) -> None:
    """Run it, and leave nothing behind but what a failed run leaves on purpose."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for fd in (socket_fd, lock_fd):
        os.set_inheritable(fd, False)
    caller = socket.socket(fileno=socket_fd)
    root = Path(run_dir)
    spec = msgspec.msgpack.decode((root / "spec").read_bytes(), type=RunSpec)
    supervisor = Supervisor(root, spec, caller)
    ended = supervisor.run()
    if not supervisor.leaves_queues:
        remove_run_dir(root)
    os.close(lock_fd)
    supervisor.tell(ended)
