"""Threads that importing the program has started. A fork leaves them behind, with whatever locks they hold.

A worker that waits for such a lock waits for ever, without a word. So where there are any, the zygote starts workers
by exec. Native threads that some libraries start at import, and that hold nothing while they idle, do not count.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_IDLE = frozenset({"jemalloc_bg_thd", "polars-ooc-clea"})
"""Names of such threads. Those of pools that were used, as of polars after reading a file, are none of them."""
_LOOKS, _BETWEEN_S = 5, 0.02


def threads_of_import() -> list[str]:
    """Names of the threads that a forked worker would lack."""
    found: list[str] = []
    # One that has just ended is still listed for a moment.
    for look in range(_LOOKS):
        found = _look()
        if not found:
            break
        if look < _LOOKS - 1:
            time.sleep(_BETWEEN_S)
    return found


def told(threads: list[str]) -> str:
    """For the user."""
    return (
        f"importing the program starts threads ({', '.join(sorted(set(threads))[:5])}), which forked workers would "
        "lack, so workers are started by exec, which is slower. Start threads in `open`, or under `if __name__ == "
        '"__main__"`. Read files there, too: some libraries read with threads of their own'
    )


def _look() -> list[str]:
    of_python = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = []
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) == os.getpid():  # `native_id` of the main thread is that before the fork, in some Pythons
            continue
        try:
            name = (task / "comm").read_text().strip()
        except OSError:  # it has ended
            continue
        if int(task.name) in of_python:
            found.append(of_python[int(task.name)])
        elif name not in _IDLE:
            found.append(name)
    return found
