"""Waiting for a process that may be nobody's child: its pidfd becomes readable when it exits."""

from __future__ import annotations

import select


def wait_for_exit(pidfd: int, timeout_s: float | None = None) -> bool:
    """True when it exited in time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
