"""The supervisor's process: exec'ed by the caller with the run directory, its lock and a socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec

from penstock.errors import PenstockError
from penstock.plan.paths import RunPaths
from penstock.run_files import read_checked, refused
from penstock.slot import signals
from penstock.slot.life import FailureNote
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.cleanup import remove_run_dir
from penstock.supervisor.orphans import kill_descendants
from penstock.supervisor.protocol import Ended, RunSpec
from penstock.supervisor.supervisor import Supervisor


def main(socket_fd: int, lock_fd: int, run_dir: str) -> None:
    """Run it, and leave nothing behind but what a failed run leaves on purpose."""
    signals.settle()
    for fd in (socket_fd, lock_fd):
        os.set_inheritable(fd, False)
    caller = socket.socket(fileno=socket_fd)
    root = Path(run_dir)
    say_last = CallerLink(caller).say_last
    try:
        spec = msgspec.msgpack.decode(read_checked(RunPaths(root).spec, "what the supervisor is told"), type=RunSpec)
        supervisor = Supervisor(root, spec, caller)
        say_last = supervisor.tell
        ended = supervisor.run()
        if not supervisor.leaves_queues:
            remove_run_dir(root)
    except (PenstockError, OSError) as exc:
        # Files are missing, damaged or out of reach. What stands in the queues stays.
        kill_descendants()
        ended = Ended("failed", 0.0, [], 0, FailureNote("supervisor", _told(root, exc)))
    os.close(lock_fd)
    say_last(ended)


def _told(root: Path, error: PenstockError | OSError) -> str:
    if isinstance(error, PenstockError):
        return str(error)
    return str(refused(Path(error.filename or root), "a file of the run", error))
