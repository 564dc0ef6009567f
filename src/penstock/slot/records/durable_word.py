"""The word by which a slot learns which of its commits a durable checkpoint covers.

A file of its own in the slot's folder, where the run has a checkpoint store. The checkpointer writes it once a manifest
is durable; a restore begins it with the commit that it restored. Bells and pages are recreated at a take-over, and this
is not: what was durable stays so.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final
from zlib import crc32

from penstock.byte_files import DISK, Files, make_file
from penstock.errors import QueueDamaged
from penstock.shared_file import Opening, by_calls

_BYTES: Final = 64
_CHECK_BITS: Final = 16


class DurableWord:
    """The word, opened by its slot or by a checkpointer."""

    def __init__(self, path: Path, opening: Opening) -> None:
        """Raises `QueueDamaged`, `FileUnusable`."""
        self._path = path
        self._file = opening(path, "the word of durable commits", size=_BYTES)
        self._words = self._file.words

    @staticmethod
    def create(path: Path, number: int = 0, files: Files = DISK) -> None:
        """`number`: of the commit that is durable from the start."""
        make_file(files, path, _BYTES, _with_check(number).to_bytes(8, "little"), anew=True)

    @property
    def raw(self) -> int:
        """It changes with `number`, and costs one load."""
        return int(self._words[0])

    @property
    def number(self) -> int:
        """The newest commit that is durable; 0: none is known to be. Raises `QueueDamaged`.

        A sink that is told too much shows rows that a lost machine takes back, so a flipped bit must be found.
        """
        raw = self.raw
        number = raw >> _CHECK_BITS
        if raw != _with_check(number):
            raise QueueDamaged(self._path, f"no checkpointer writes {raw:#x}")
        return number

    def raise_to(self, number: int) -> bool:
        """By a checkpointer. False: it was there before. Raises `QueueDamaged`."""
        if number <= self.number:
            return False
        self._words[0] = _with_check(number)
        return True

    def close(self) -> None:
        self._file.close()


def durable_number(path: Path) -> int:
    """What the word says at this moment. Raises `QueueDamaged`, `FileUnusable`."""
    with closing(DurableWord(path, by_calls)) as word:
        return word.number


def _with_check(number: int) -> int:
    return number << _CHECK_BITS | crc32(number.to_bytes(8, "little")) & (1 << _CHECK_BITS) - 1
