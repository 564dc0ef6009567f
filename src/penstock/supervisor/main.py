"""The supervisor's process: exec'ed by the caller with the run directory, its lock and a socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
from msgspec.structs import replace

from penstock.errors import NotPrivate, PenstockError
from penstock.plan.paths import RunPaths
from penstock.run_files import read_checked, refused
from penstock.slot import signals
from penstock.slot.life import FailureNote
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.cleanup import remove_run_dir
from penstock.supervisor.descriptors import raise_limit
from penstock.supervisor.leftover import settle
from penstock.supervisor.orphans import kill_descendants
from penstock.supervisor.protocol import Ended, Notice, RunSpec
from penstock.supervisor.supervisor import Supervisor


def main(socket_fd: int, caller_fd: int, lock_fd: int, claims: list[int], run_dir: str) -> None:
    """Run it, and say how it ended.

    The run directory is removed by the caller, once it has heard that. Until then a rerun finds a run whose workers
    are all through, and says so: an end that was never told is no reason to begin again.
    """
    signals.settle()
    raise_limit()
    for fd in (socket_fd, caller_fd, lock_fd, *claims):
        os.set_inheritable(fd, False)
    caller = CallerLink(socket.socket(fileno=socket_fd), caller_fd)
    root = Path(run_dir)
    try:
        spec = msgspec.msgpack.decode(read_checked(RunPaths(root).spec, "what the supervisor is told"), type=RunSpec)
        supervisor = Supervisor(root, spec, caller)
        ended = supervisor.run()
        if ended.leaves_queues:
            ended = replace(ended, left_in=str(_settle(root, spec, caller)))
        elif caller.gone and supervisor.stopped:
            remove_run_dir(root)  # it was told to, by one who did not wait
    except (PenstockError, OSError) as exc:
        # Files are missing, damaged or out of reach. What stands in the queues stays.
        kill_descendants()
        note = FailureNote("supervisor", _told(root, exc))
        ended = Ended("failed", 0.0, [], 0, note, leaves_queues=True)
    caller.say_last(ended)


def _settle(root: Path, spec: RunSpec, caller: CallerLink) -> Path:
    """Shared memory is not for what waits: what is left goes to disk, without the room of its queues."""
    try:
        return settle(root, Path(spec.left_to) if spec.left_to is not None else None)
    except (OSError, NotPrivate) as exc:
        caller.say(Notice("WARNING", f"what the run left stays in {root}, for it cannot be moved ({exc})"))
        return root


def _told(root: Path, error: PenstockError | OSError) -> str:
    if isinstance(error, PenstockError):
        return str(error)
    return str(refused(Path(error.filename or root), "a file of the run", error))
