"""A slot's page: a small shared file of 64-bit words, written by the worker, readable by anybody.

`catalogue.py` names the words. Words are stored through a cast memoryview: one move each, never torn.
"""

from __future__ import annotations

from pathlib import Path

from penstock.byte_files import DISK, Files, make_file
from penstock.errors import QueueDamaged
from penstock.metrics.catalogue import MAGIC, PAGE_BYTES, PAGE_WORDS, VERSION, Word
from penstock.shared_file import Opening


class Page:
    """An open page; `words[Word.ROWS_IN]` reads and writes."""

    def __init__(self, path: Path, opening: Opening, *, writable: bool) -> None:
        """Open the page at `path`. Raises `QueueDamaged` when it is none."""
        self.path = path
        self._file = opening(path, "a slot's page", size=PAGE_BYTES, writable=writable)
        self.words = self._file.words
        if self.words[Word.MAGIC] != MAGIC or self.words[Word.VERSION] != VERSION:
            self.close()
            raise QueueDamaged(path, "this is not a slot's page of this version")

    @staticmethod
    def create(path: Path, files: Files = DISK) -> None:
        """Make an empty page, its memory reserved."""
        head = memoryview(bytearray(16)).cast("Q")
        head[0], head[1] = MAGIC, VERSION
        make_file(files, path, PAGE_BYTES, head.tobytes())

    def read_words(self) -> tuple[int, ...]:
        """All words, one after the other."""
        return tuple(self.words[:PAGE_WORDS])

    def close(self) -> None:
        self._file.close()
