"""How a worker ended, in words and as a cause. Pure."""

from __future__ import annotations

import os
import signal

from penstock.slot.life import Exit
from penstock.supervisor.blame import Cause

UNKNOWN_STATUS = int(signal.SIGKILL)
"""What is assumed of a death that nobody could tell of: it may be anybody's."""


def exit_code(status: int) -> int | None:
    """The exit code of a wait status; None: a signal ended it."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def describe(status: int) -> str:
    """`exit code 3`, `signal SIGSEGV`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"signal {signal.Signals(number).name}"
        except ValueError:
            return f"signal {number}"
    return f"exit code {os.WEXITSTATUS(status)}"


def cause_of(status: int, *, timed_out: bool, out_of_memory: bool) -> Cause:
    """Why it died."""
    if timed_out:
        return Cause.TIMED_OUT
    code = exit_code(status)
    if code is not None:
        return Cause.OURS if code in set(Exit) else Cause.OWN_DOING
    if os.WTERMSIG(status) == signal.SIGKILL:
        return Cause.OWN_DOING if out_of_memory else Cause.KILLED
    return Cause.OWN_DOING
