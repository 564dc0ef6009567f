"""No process stays behind: whatever user code forked and left has come to the supervisor, the child subreaper."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def kill_descendants() -> None:
    """Kill and reap every child of this process, until there is none: each death may bring us its children."""
    while pids := _children():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for pid in pids:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue


def _children() -> list[int]:
    return [
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]
