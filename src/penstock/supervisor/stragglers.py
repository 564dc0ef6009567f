"""What user code started and what outlived its supervisor: found by a mark in its environment, and killed.

Workers die with their supervisor by the lifeline. Their children do not, nor does a worker that has closed its
descriptors or become another program. While the supervisor lives they are its descendants (`orphans`). When it was
killed, they are nobody's; what is left to tell them by is their environment, which children inherit. A process that
emptied its environment is out of reach.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from penstock.slot.process.wait_for_exit import wait_for_exit
from penstock.supervisor.environment import MARK

_PATIENCE_S = 10.0
"""A process in the middle of a system call that cannot be interrupted is not waited for longer."""


def kill_stragglers(run_id: str) -> int:
    """Kill whatever is left of the workers of a run that has no supervisor; how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while (pids := _marked_with(run_id) - _own_line()) and time.monotonic() < deadline:
        for pid in pids:
            _kill(pid, deadline)
        killed |= pids  # whom they were forking meanwhile is found next
    return len(killed)


def _kill(pid: int, deadline: float) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        wait_for_exit(pidfd, max(deadline - time.monotonic(), 0.0))
    except (ProcessLookupError, PermissionError):
        return  # gone, or another user's by now
    finally:
        os.close(pidfd)


def _marked_with(run_id: str) -> set[int]:
    mark = f"{MARK}={run_id}".encode()
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.add(int(process.name))
            except OSError:
                continue  # it is gone, or another user's
    return found


def _own_line() -> set[int]:
    """This process and its ancestors: a run may be started by what an earlier run started."""
    line, pid = set(), os.getpid()
    while pid > 0:
        line.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return line
