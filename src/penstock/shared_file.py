"""A file that several processes have open at once, as 64-bit words and as bytes: one class, and ways to open it.

Workers map it (`mapped_file.by_mapping`): reading a word is one move. Supervisor, calling process and whoever only
looks go through system calls (`by_calls`): touching the mapping of a file that somebody cut is a SIGBUS, and a worker
may die of that, for it has a successor; they have none. What is built on such a file is told how to open it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Protocol, TypeAlias, overload

from penstock.errors import QueueDamaged
from penstock.run_files import open_file, refused, size_of

_WORD = struct.Struct("=Q")
_WORD_BYTES = _WORD.size


class Closes(Protocol):
    """What can be let go of."""

    def close(self) -> None: ...


class SharedFile:
    """An open file: `words[3]` reads and writes one of its 64-bit words, `data[8:16]` some of its bytes."""

    def __init__(self, words: Words, data: Bytes, file: Closes) -> None:
        """`file`: what is behind both."""
        self.words = words
        """As many whole words as there are. A word is read and stored in one go, never torn."""
        self.data = data
        self.size = len(data)
        self._file = file

    def close(self) -> None:
        """Let go of it; the file stays. A second time does nothing."""
        self.words.release()
        self.data.release()
        self._file.close()


class Opening(Protocol):
    """A way to open a shared file: `by_calls`, `by_mapping`, or `memory_files.MemoryFiles.share`."""

    def __call__(
        self, path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True,
        for_children: bool = False,
    ) -> SharedFile:
        """`size`: what it must have; else it must have `least` bytes. `what`: how errors call it.

        `for_children`: those that user code forks may read it, too. Raises `QueueDamaged` where there is no such file
        of ours or it was cut, `FileUnusable` without access.
        """
        ...


def by_calls(
    path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True,
    for_children: bool = False,
) -> SharedFile:
    """Open a file to be read and written by system calls; what is cut meanwhile is told, never touched."""
    data = CalledBytes(path, what, size=size, least=least, writable=writable)
    return SharedFile(CalledWords(data), data, data)


class CalledBytes:
    """The bytes of a file, read and written by system calls."""

    def __init__(
        self, path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True
    ) -> None:
        self.path = path
        self._what = what
        self._fd = open_file(path, what, writable=writable)
        try:
            self.size = size_of(self._fd, path, what, size, least)
        except QueueDamaged:
            self.close()
            raise

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    def __getitem__(self, index: int | slice) -> int | bytes:
        if isinstance(index, int):
            return self.read(index, 1)[0]
        start, stop, _ = index.indices(self.size)
        return self.read(start, max(stop - start, 0))

    def __setitem__(self, index: slice, data: bytes) -> None:
        self.write(index.indices(self.size)[0], data)

    def __len__(self) -> int:
        return self.size

    def read(self, offset: int, length: int) -> bytes:
        """This many bytes. Raises `QueueDamaged` where they are not there any more."""
        try:
            data = os.pread(self._fd, length, offset)
        except OSError as exc:
            raise refused(self.path, self._what, exc) from exc
        if len(data) < length:
            self._tell_cut()
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Write in place; a file that was cut is told, rather than made longer again."""
        if os.fstat(self._fd).st_size < offset + len(data):
            self._tell_cut()
        try:
            os.pwrite(self._fd, data, offset)
        except OSError as exc:
            raise refused(self.path, self._what, exc) from exc

    def _tell_cut(self) -> None:
        there = os.fstat(self._fd).st_size
        raise QueueDamaged(self.path, f"{self._what} was cut from {self.size} to {there} bytes")

    def release(self) -> None:
        """As a memoryview has it."""

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class CalledWords:
    """The words of a file, each read and written by one system call."""

    def __init__(self, data: CalledBytes) -> None:
        self._data = data

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, _ = index.indices(self._data.size // _WORD_BYTES)
            return memoryview(self._data.read(_WORD_BYTES * start, _WORD_BYTES * (stop - start))).cast("Q")
        return _WORD.unpack(self._data.read(_WORD_BYTES * index, _WORD_BYTES))[0]

    def __setitem__(self, index: int, value: int) -> None:
        self._data.write(_WORD_BYTES * index, _WORD.pack(value))

    def release(self) -> None:
        """As a memoryview has it."""


Words: TypeAlias = memoryview | CalledWords
Bytes: TypeAlias = memoryview | CalledBytes
