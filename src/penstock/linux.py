"""The one look at the platform, made when penstock is imported; everything else takes Linux on x86-64 for granted."""

from __future__ import annotations

import os
import sys

_ORDERED_STORES = ("x86_64", "amd64")
"""Machines on which stores become visible in the order they were made, as `channel/words.py` relies on."""


def require_linux(platform: str = sys.platform) -> None:
    """Raise `PlatformUnsupported` anywhere but on Linux. Called once, by `import penstock`."""
    if platform != "linux":
        from penstock.errors import PlatformUnsupported

        raise PlatformUnsupported(
            f"penstock runs on Linux only (it needs pidfd, epoll and /dev/shm), and this is {platform!r}; "
            "use a Linux machine, a container, or WSL 2"
        )


def require_ordered_stores(machine: str | None = None) -> None:
    """Raise `PlatformUnsupported` on a processor that may reorder stores. Called once, by `import penstock`.

    Queues are read while they are written. On arm64, among others, a reader may see the new end of a queue before
    the rows in front of it, and rows would be damaged without an error.
    """
    machine = os.uname().machine if machine is None else machine
    if machine.lower() not in _ORDERED_STORES:
        from penstock.errors import PlatformUnsupported

        raise PlatformUnsupported(
            f"penstock runs on x86-64 processors only, and this one is {machine!r}: it may reorder stores to shared "
            "memory, which would damage rows silently; use an x86-64 machine, or an x86-64 container under emulation"
        )
