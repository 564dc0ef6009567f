"""Whether a process can run: not while somebody has stopped it."""

from __future__ import annotations

from pathlib import Path


def is_stopped(pid: int) -> bool:
    """True after `SIGSTOP`, or under a debugger."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False  # it is gone, or /proc is kept from us: then nobody excuses it
    return stat.rpartition(")")[2].split()[0] in ("T", "t")
