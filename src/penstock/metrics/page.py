"""A slot's page: a small memory-mapped file of 64-bit words, written by the worker, readable by anybody.

`catalogue.py` names the words. Words are stored through a cast memoryview: one move each, never torn.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from penstock.errors import QueueDamaged
from penstock.metrics.catalogue import MAGIC, PAGE_BYTES, PAGE_WORDS, VERSION, Word


class Page:
    """A mapped page; `words[Word.ROWS_IN]` reads and writes."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        """Map the page at `path`. Raises `QueueDamaged` when it is none."""
        self.path = path
        fd = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            if os.fstat(fd).st_size != PAGE_BYTES:
                raise QueueDamaged(path, "a slot's page has the wrong size")
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(fd, PAGE_BYTES, access=access)
        finally:
            os.close(fd)
        self._bytes = memoryview(self._map)
        self.words = self._bytes.cast("Q")
        if self.words[Word.MAGIC] != MAGIC or self.words[Word.VERSION] != VERSION:
            self.close()
            raise QueueDamaged(path, "this is no slot's page of this version")

    @staticmethod
    def create(path: Path) -> None:
        """Make an empty page, its memory reserved."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, PAGE_BYTES)
            head = memoryview(bytearray(16)).cast("Q")
            head[0], head[1] = MAGIC, VERSION
            os.pwrite(fd, head, 0)
        finally:
            os.close(fd)

    def read_words(self) -> tuple[int, ...]:
        """All words, one after the other."""
        return tuple(self.words[:PAGE_WORDS])

    def close(self) -> None:
        self.words.release()
        self._bytes.release()
        self._map.close()
