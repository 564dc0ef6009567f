"""The run as a supervisor has it: what it is told, the supervision, what it leaves, and its last word."""

from __future__ import annotations

import ctypes
import os
import socket
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec
from msgspec.structs import replace

from penstock.channel.bell import open_fifo
from penstock.errors import NotPrivate, PenstockError
from penstock.plan.paths import RunPaths
from penstock.run_files import read_checked, refused
from penstock.slot.process.process_end import end_with
from penstock.slot.records.life import FailureNote
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.cleanup import remove_run_dir
from penstock.supervisor.descriptors import raise_limit
from penstock.supervisor.handover import handed_over
from penstock.supervisor.orphans import kill_descendants
from penstock.supervisor.protocol import Ended, Notice, RunSpec
from penstock.supervisor.supervisor import Supervisor
from penstock.supervisor.zygote_process import ZygoteProcess
from penstock.supervisor.zygote_start import StartedZygote

_PR_SET_CHILD_SUBREAPER = 36


def supervise(run_dir: str, socket_fd: int, caller_fd: int, zygote: StartedZygote) -> NoReturn:
    """Wait until the caller hands the run over; then supervise it, and say how it ended. Ends the process.

    The run directory is removed by the caller, once it has heard that. Until then a rerun finds a run whose workers
    are all through, and says so: an end that was never told is no reason to begin again.
    """
    # The caller waits for the end of this process: nothing is left to be tidied up by the interpreter.
    end_with(partial(_supervise, run_dir, socket_fd, caller_fd, zygote))


def _supervise(run_dir: str, socket_fd: int, caller_fd: int, zygote: StartedZygote) -> int:
    raise_limit()
    sock = socket.socket(fileno=socket_fd)
    if not handed_over(sock, caller_fd):
        zygote.give_up()
        return 0
    # What was handed over stays open, and so locked, until this process ends.
    root, caller = Path(run_dir), CallerLink(sock, caller_fd)
    try:
        spec = msgspec.msgpack.decode(read_checked(RunPaths(root).spec, "the supervisor's instructions"), type=RunSpec)
        ended = _run(root, spec, caller, zygote)
    except (PenstockError, OSError) as exc:
        # Files are missing, damaged or out of reach. What is in the queues stays.
        kill_descendants()
        note = FailureNote("supervisor", _told(root, exc))
        ended = Ended("failed", 0.0, [], 0, note, leaves_queues=True)
    caller.say_last(ended)
    return 0


def _run(root: Path, spec: RunSpec, caller: CallerLink, zygote: StartedZygote) -> Ended:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    lifeline = open_fifo(RunPaths(root).lifeline, "the lifeline")  # a zygote that finds it closed leaves
    supervisor = Supervisor(root, spec, caller, ZygoteProcess(zygote, spec))
    ended = supervisor.run()
    os.close(lifeline)
    if not ended.leaves_queues and _something_stays(spec, ended):
        from penstock.supervisor.last_checkpoint import keep_or_forget  # most runs end without

        ended = keep_or_forget(root, spec, ended, caller)
    if ended.leaves_queues and spec.caller_queues and not caller.gone:
        return ended  # the caller may still read its queues there, and settles what is left then
    if ended.leaves_queues:
        return replace(ended, left_in=str(_settle(root, spec, caller)))
    if caller.gone and supervisor.stopped:
        remove_run_dir(root)  # it was told to, by one who did not wait
    return ended


def _something_stays(spec: RunSpec, ended: Ended) -> bool:
    """True: the end of the run is noted outside of its directory, or what an earlier run noted there is to go."""
    told_to_end = ended.outcome in ("drained", "stopped")
    return spec.checkpoint is not None or bool(spec.positions and (told_to_end or Path(spec.positions).is_dir()))


def _settle(root: Path, spec: RunSpec, caller: CallerLink) -> Path:
    """Shared memory is not for what waits: what is left goes to disk, without the room of its queues."""
    from penstock.supervisor.leftover import settle

    try:
        return settle(root, Path(spec.left_to) if spec.left_to is not None else None)
    except (OSError, NotPrivate) as exc:
        caller.say(Notice("WARNING", f"what the run left stays in {root}: it cannot be moved ({exc})"))
        return root


def _told(root: Path, error: PenstockError | OSError) -> str:
    if isinstance(error, PenstockError):
        return str(error)
    return str(refused(Path(error.filename or root), "a file of the run", error))
