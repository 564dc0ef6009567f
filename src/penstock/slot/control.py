"""Words by which the supervisor speaks to all workers of a run at once; it rings their bells after a change."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

_BYTES = 4096
_W_DRAIN, _W_STOP = 0, 1


class Control:
    """The mapped words. Workers read, the supervisor writes."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(fd, _BYTES)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")

    @staticmethod
    def create(path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(fd, 0, _BYTES)
        finally:
            os.close(fd)

    @property
    def draining(self) -> bool:
        """Sources read no more."""
        return bool(self._words[_W_DRAIN])

    @property
    def stopping(self) -> bool:
        """What is in flight is dropped."""
        return bool(self._words[_W_STOP])

    def drain(self) -> None:
        self._words[_W_DRAIN] = 1

    def stop(self) -> None:
        self._words[_W_STOP] = 1

    def clear(self) -> None:
        """A new run takes the directory over."""
        self._words[_W_DRAIN] = self._words[_W_STOP] = 0
