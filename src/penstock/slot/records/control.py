"""Words by which the supervisor speaks to all workers of a run at once; it rings their bells after a change."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from penstock.byte_files import DISK, Files, make_file
from penstock.errors import QueueDamaged
from penstock.shared_file import Opening

CONTROL_BYTES: Final = 4096
_W_DRAIN: Final = 0
_W_STOP: Final = 1
_W_PINNED: Final = 8
"""0, or a number that says which cut copies what records speak of. A flipped bit only keeps files."""
# Not 1: a flipped bit must not drain or stop a run, which would look like the end of its input.
_DRAIN: Final = 0x5045_4E53_4452_4149
_STOP: Final = 0x5045_4E53_5354_4F50


class Control:
    """The words. Workers read, the supervisor writes."""

    def __init__(self, path: Path, opening: Opening) -> None:
        self._path = path
        self._file = opening(path, "the control page", size=CONTROL_BYTES, for_children=True)
        self._words = self._file.words

    @staticmethod
    def create(path: Path, files: Files = DISK) -> None:
        make_file(files, path, CONTROL_BYTES, anew=True)

    @property
    def draining(self) -> bool:
        """Sources read no more. Raises `QueueDamaged` for a word that nobody writes."""
        word = self._words[_W_DRAIN]
        return bool(word) and self._is(word, _DRAIN)

    @property
    def stopping(self) -> bool:
        """What is in flight is dropped. Raises `QueueDamaged` for a word that nobody writes."""
        word = self._words[_W_STOP]
        return bool(word) and self._is(word, _STOP)

    def _is(self, word: int, said: int) -> bool:
        if word != said:
            raise QueueDamaged(self._path, f"the supervisor never says {word:#x}")
        return True

    def drain(self) -> None:
        self._words[_W_DRAIN] = _DRAIN

    def stop(self) -> None:
        self._words[_W_STOP] = _STOP

    @property
    def pinned(self) -> bool:
        """True: somebody copies the files that records speak of, so none is removed (`Removals`)."""
        return bool(self._words[_W_PINNED])

    @property
    def pin_word(self) -> int:
        """The number that it was pinned with; 0: it is not."""
        return int(self._words[_W_PINNED])

    def pin(self, number: int) -> None:
        """By a checkpointer, before it reads the first record."""
        self._words[_W_PINNED] = number

    def unpin(self) -> None:
        """By a checkpointer that has copied all; by the supervisor in its stead, if it is dead."""
        self._words[_W_PINNED] = 0

    def clear(self) -> None:
        """A new run takes the directory over."""
        self._words[_W_DRAIN] = self._words[_W_STOP] = self._words[_W_PINNED] = 0

    def close(self) -> None:
        self._file.close()
