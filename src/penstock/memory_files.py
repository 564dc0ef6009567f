"""Files in memory: what a slot keeps, without a disk. They live as long as the `MemoryFiles` that has them.

Whoever opens a path sees the same bytes as all who have it open, as with a mapped file; so a slot that is dropped at
any moment leaves what a killed one leaves, and a successor is started over it. There are no folders: any path may be
opened.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from penstock.run_files import refused, require_size_of
from penstock.shared_file import SharedFile

_ROOM: Final = 1 << 62
_LARGE_BYTES: Final = 64 * 1024


class _Content:
    """What is in a file."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data: bytearray | mmap.mmap = bytearray()

    def grow(self, size: int) -> None:
        """Zeros at the end. One that is shared at present cannot grow, and nobody asks for that."""
        if not self.data and size >= _LARGE_BYTES:
            self.data = mmap.mmap(-1, size)  # a queue, most of which is never touched: its zeros cost nothing
            return
        if not isinstance(self.data, bytearray):
            self.data = bytearray(self.data)
        self.data.extend(bytes(size - len(self.data)))

    def cut(self, size: int) -> None:
        if not isinstance(self.data, bytearray):
            self.data = bytearray(self.data)
        del self.data[size:]


class MemoryFile:
    """An open file. What was renamed or removed meanwhile can still be read and written, as on a disk."""

    def __init__(self, content: _Content) -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content.data)

    def pread(self, length: int, offset: int) -> bytes:
        return bytes(self._content.data[offset : offset + length])

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        self.reserve(offset + len(data))
        self._content.data[offset : offset + len(data)] = data
        return len(data)

    def reserve(self, size: int) -> None:
        if size > self.size:
            self._content.grow(size)

    def truncate(self, length: int) -> None:
        if length < self.size:
            self._content.cut(length)
        self.reserve(length)

    def view(self) -> memoryview:
        """Its bytes themselves."""
        return memoryview(self._content.data)

    def sync(self) -> None:
        """Memory is all there is."""

    def close(self) -> None:
        """There is nothing to let go of."""


class MemoryFiles:
    """As `byte_files.Files`; `share` is the `shared_file.Opening` of the same files."""

    def __init__(self) -> None:
        self._contents: dict[str, _Content] = {}

    def open(self, path: Path, flags: int, *, single: bool = False) -> MemoryFile:
        name = str(path)
        content = self._contents.get(name)
        if content is None:
            if not flags & os.O_CREAT:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            content = self._contents[name] = _Content()
        elif flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        file = MemoryFile(content)
        if flags & os.O_TRUNC:
            file.truncate(0)
        return file

    def open_below(self, place: Path, names: Sequence[str], flags: int) -> MemoryFile:
        return self.open(place.joinpath(*names), flags)

    def exists(self, path: Path) -> bool:
        return str(path) in self._contents

    def beginning_with(self, path: Path) -> list[Path]:
        begin = str(path)
        return sorted(Path(n) for n in self._contents if n.startswith(begin) and "/" not in n[len(begin) :])

    def rename(self, path: Path, to: Path) -> None:
        if not self.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._contents[str(to)] = self._contents.pop(str(path))

    def remove(self, path: Path) -> None:
        self._contents.pop(str(path), None)

    def room(self, folder: Path) -> int:
        return _ROOM

    def share(
        self, path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True,
        for_children: bool = False,
    ) -> SharedFile:
        """As `shared_file.Opening` says."""
        try:
            file = self.open(path, os.O_RDWR)
        except OSError as exc:
            raise refused(path, what, exc) from exc
        require_size_of(path, what, file.size, size, least)
        data = file.view()
        if not writable:
            data = data.toreadonly()
        return SharedFile(data[: file.size & ~7].cast("Q"), data, file)
