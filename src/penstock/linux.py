"""The one look at the platform, made when penstock is imported; everything else takes Linux for granted."""

from __future__ import annotations

import sys

from penstock.errors import PenstockError


class PlatformUnsupported(PenstockError, ImportError):
    """penstock was imported on a system that lacks what its processes are built on."""

    def __init__(self, platform: str) -> None:
        super().__init__(
            f"penstock runs on Linux only (it needs pidfd, epoll and /dev/shm), and this is {platform!r}; "
            "use a Linux machine, a container, or WSL 2"
        )


def require_linux(platform: str = sys.platform) -> None:
    """Raise `PlatformUnsupported` anywhere but on Linux. Called once, by `import penstock`."""
    if platform != "linux":
        raise PlatformUnsupported(platform)
