"""A slot's page: a small memory-mapped file of 64-bit words, written by the worker, readable by anybody.

`catalogue.py` names the words. Words are stored through a cast memoryview: one move each, never torn.
"""

from __future__ import annotations

import os
from mmap import mmap
from pathlib import Path

from penstock.errors import QueueDamaged
from penstock.metrics.catalogue import MAGIC, PAGE_BYTES, PAGE_WORDS, VERSION, Word
from penstock.run_files import FileBytes, FileWords, map_file


class Page:
    """A mapped page; `words[Word.ROWS_IN]` reads and writes."""

    _file: mmap | FileBytes
    _bytes: memoryview | FileBytes
    words: memoryview | FileWords

    def __init__(self, path: Path, *, writable: bool, mapped: bool = True) -> None:
        """Open the page at `path`. Raises `QueueDamaged` when it is none.

        `mapped`: for workers, which may die of a SIGBUS; others read and write by system calls (`run_files`).
        """
        self.path = path
        if mapped:
            self._file = map_file(path, "a slot's page", size=PAGE_BYTES, writable=writable)
            self._bytes = memoryview(self._file)
            self.words = self._bytes.cast("Q")
        else:
            self._file = self._bytes = FileBytes(path, "a slot's page", size=PAGE_BYTES, writable=writable)
            self.words = self._bytes.words()
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
        self._file.close()
