"""Files that one process at a time reads and writes as bytes, and where they are kept: on disk, or in memory.

What several have open at once, word by word, is a `shared_file`. Everything else that a slot keeps is written through
`Files`: logs, side files, what is made once and then opened as a shared file. `memory_files` has the other `Files`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from penstock.private_files import held_below, open_own


class ByteFile(Protocol):
    """An open file. Raises `OSError` as the operating system does."""

    @property
    def size(self) -> int: ...

    def pread(self, length: int, offset: int) -> bytes:
        """This many bytes; fewer at the end."""
        ...

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        """Write; the bytes written, which may be fewer. Callers use `write_all`."""
        ...

    def reserve(self, size: int) -> None:
        """Make it so long at least, with room for all of it: ENOSPC now rather than later."""
        ...

    def truncate(self, length: int) -> None: ...

    def sync(self) -> None:
        """Have it on the disk."""
        ...

    def close(self) -> None: ...


class Files(Protocol):
    """Where files are kept. Raises `OSError` as the operating system does, and `NotPrivate`."""

    def open(self, path: Path, flags: int, *, single: bool = False) -> ByteFile:
        """Open a file of ours. `flags`: as for `os.open`; `single`: it may stand nowhere else by another name."""
        ...

    def open_below(self, place: Path, names: Sequence[str], flags: int) -> ByteFile:
        """Open the single file `place/names[0]/...`; the folders are made where they lack, and are nobody else's."""
        ...

    def exists(self, path: Path) -> bool: ...

    def beginning_with(self, path: Path) -> list[Path]:
        """Everything in the folder whose name begins as the name of `path`, by name."""
        ...

    def rename(self, path: Path, to: Path) -> None:
        """Put one file in the place of another, in one step."""
        ...

    def remove(self, path: Path) -> None:
        """What is not there is no error."""
        ...

    def room(self, folder: Path) -> int:
        """Bytes that can still be written there."""
        ...


class DiskFile:
    """A file of the file system."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def pread(self, length: int, offset: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def pwrite(self, data: bytes | memoryview, offset: int) -> int:
        return os.pwrite(self._fd, data, offset)

    def reserve(self, size: int) -> None:
        os.posix_fallocate(self._fd, 0, size)

    def truncate(self, length: int) -> None:
        os.ftruncate(self._fd, length)

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class DiskFiles:
    """The file system."""

    def open(self, path: Path, flags: int, *, single: bool = False) -> DiskFile:
        return DiskFile(open_own(path, flags, single=single))

    def open_below(self, place: Path, names: Sequence[str], flags: int) -> DiskFile:
        with held_below(place, names[:-1], make=True) as folder:
            return DiskFile(open_own(names[-1], flags, dir_fd=folder, single=True))

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def beginning_with(self, path: Path) -> list[Path]:
        return sorted(path.parent / name for name in os.listdir(path.parent) if name.startswith(path.name))

    def rename(self, path: Path, to: Path) -> None:
        os.rename(path, to)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def room(self, folder: Path) -> int:
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize


DISK: Final = DiskFiles()


def write_all(file: ByteFile, data: bytes | memoryview, offset: int) -> int:
    """Write all of it; the bytes written. Raises `OSError`: a full disk, most of the time."""
    written, view = 0, memoryview(data)
    while written < len(view):
        written += file.pwrite(view[written:], offset + written)
    return written


def make_file(files: Files, path: Path, size: int, head: bytes = b"", *, anew: bool = False) -> None:
    """Make a file of `size` bytes that begins with `head`, the rest zero, all of it reserved.

    `anew`: what is there is overwritten; else it is a `FileExistsError`.
    """
    file = files.open(path, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if anew else os.O_EXCL))
    try:
        file.reserve(size)
        write_all(file, head, 0)
    finally:
        file.close()
