"""How a worker ended, in words and as a cause. Pure."""

from __future__ import annotations

import os
import signal

from penstock.supervisor.blame import Cause

_FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP})
"""What a process brings upon itself by an instruction that it executes. `kill` can send them; hardly anybody does."""
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


def cause_of(status: int, *, timed_out: bool, out_of_memory: bool, sent: int = 0) -> Cause:
    """Why it died, where it did not leave in order. An exit is user code's, whatever its code.

    `sent`: a signal that the worker was sent, rather than one that it raised by `abort()`.
    """
    if timed_out:
        return Cause.TIMED_OUT
    if exit_code(status) is not None:
        return Cause.OWN_DOING
    number = os.WTERMSIG(status)
    if number == signal.SIGKILL:
        return Cause.OWN_DOING if out_of_memory else Cause.KILLED
    if number in _FAULTS or (number == signal.SIGABRT and sent != number):
        return Cause.OWN_DOING
    return Cause.KILLED  # SIGUSR1 and the like come from somebody, and may come from anybody
