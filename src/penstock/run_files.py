"""Files of a run directory: opened, read and written so that what is missing, cut or out of reach is told by its name.

Workers map them (`map_file`). Supervisor and calling process go through system calls (`FileBytes`): touching the
mapping of a file that somebody cut is a SIGBUS, and a worker may die of that, for it has a successor; they have none.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path
from typing import Any, overload
from zlib import crc32

from penstock.errors import FileUnusable, NotPrivate, PenstockError, QueueDamaged
from penstock.private_files import open_own, read_own, replace_own

_NOT_WHAT_IT_WAS = {errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ESTALE}
_CHECK = struct.Struct("<II")
_WORD = struct.Struct("=Q")


def refused(path: Path, what: str, error: OSError | NotPrivate) -> PenstockError:
    """What to raise when the operating system does not give a file, or gives one that may be another user's."""
    if isinstance(error, NotPrivate):
        return QueueDamaged(path, f"{what} {error.why}")
    if error.errno == errno.ENOENT:
        return QueueDamaged(path, f"{what} is missing")
    if error.errno in _NOT_WHAT_IT_WAS:
        return QueueDamaged(path, f"{what} is no file any more ({error.strerror})")
    return FileUnusable(path, what, error)


def open_file(path: Path, what: str, *, writable: bool = True) -> int:
    """A descriptor. Raises `QueueDamaged` where there is no such file of ours, `FileUnusable` without access."""
    try:
        return open_own(path, os.O_RDWR if writable else os.O_RDONLY)
    except (OSError, NotPrivate) as exc:
        raise refused(path, what, exc) from exc


_kept_from_children = False


def keep_from_children() -> None:
    """What this process maps from now on is not there in children that user code forks."""
    global _kept_from_children
    _kept_from_children = True


def map_file(
    path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True, shared: bool = False
) -> mmap.mmap:
    """Map a whole file. `size`: what it must have; else it must have `least`. Raises as `open_file` does.

    `shared`: children that user code forks may read it, too.
    """
    fd = open_file(path, what, writable=writable)
    try:
        there = _size(fd, path, what, size, least)
        mapped = mmap.mmap(fd, there, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        if _kept_from_children and not shared:
            mapped.madvise(mmap.MADV_DONTFORK)
        return mapped
    finally:
        os.close(fd)


def _size(fd: int, path: Path, what: str, size: int | None, least: int) -> int:
    there = os.fstat(fd).st_size
    if size is not None:
        require_size(path, what, there, size)
    if there < least:
        raise QueueDamaged(path, f"{what} was cut to {there} bytes")
    return there


def require_size(path: Path, what: str, there: int, size: int) -> None:
    """Raises `QueueDamaged` for a file that is shorter or longer than it was made."""
    if there < size:
        raise QueueDamaged(path, f"{what} was cut from {size} to {there} bytes")
    if there > size:
        raise QueueDamaged(path, f"{what} has {there} bytes instead of {size}")


class FileBytes:
    """A file through system calls, with the indexing of a mapped one; what was cut is told, never touched."""

    def __init__(
        self, path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True
    ) -> None:
        self.path = path
        self._what = what
        self._fd = open_file(path, what, writable=writable)
        try:
            self.size = _size(self._fd, path, what, size, least)
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
        """So many bytes. Raises `QueueDamaged` where they are not there any more."""
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

    def words(self) -> FileWords:
        """The file as 64-bit words."""
        return FileWords(self)

    def release(self) -> None:
        """As a memoryview has it."""

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FileWords:
    """64-bit words of a file, each read and written by one system call."""

    def __init__(self, file: FileBytes) -> None:
        self._file = file

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, _ = index.indices(self._file.size // 8)
            return memoryview(self._file.read(8 * start, 8 * (stop - start))).cast("Q")
        return _WORD.unpack(self._file.read(8 * index, 8))[0]

    def __setitem__(self, index: int, value: int) -> None:
        self._file.write(8 * index, _WORD.pack(value))

    def release(self) -> None:
        """As a memoryview has it."""


class FileTail:
    """What stands behind the first bytes of a file."""

    def __init__(self, file: FileBytes, start: int) -> None:
        self._file = file
        self._start = start

    def __getitem__(self, index: slice) -> bytes:
        start, stop, _ = index.indices(self._file.size - self._start)
        return self._file.read(self._start + start, max(stop - start, 0))

    def __setitem__(self, index: slice, data: bytes) -> None:
        self._file.write(self._start + index.indices(self._file.size - self._start)[0], data)

    def release(self) -> None:
        """As a memoryview has it."""


# Small files that are read as a whole.


def write_checked(path: Path, what: str, data: bytes) -> None:
    """Replace a file in one step, its length and checksum before its content. Raises `FileUnusable`."""
    try:
        replace_own(path, _CHECK.pack(len(data), crc32(data)) + data)
    except OSError as exc:
        raise FileUnusable(path, what, exc) from exc


def read_checked(path: Path, what: str) -> bytes:
    """What `write_checked` wrote. Raises `QueueDamaged`, `FileUnusable`."""
    try:
        stored = read_own(path)
    except (OSError, NotPrivate) as exc:
        raise refused(path, what, exc) from exc
    data = stored[_CHECK.size :]
    if len(stored) < _CHECK.size or _CHECK.unpack_from(stored) != (len(data), crc32(data)):
        raise QueueDamaged(path, f"{what} does not hold what was written")
    return data


def write_all(fd: int, data: bytes, offset: int, *, path: Path, what: str) -> int:
    """Write all of it; the bytes written. Raises `FileUnusable`: a full disk, most of the time."""
    written = 0
    view = memoryview(data)
    try:
        while written < len(data):
            written += os.pwrite(fd, view[written:], offset + written)
    except OSError as exc:
        raise FileUnusable(path, what, exc) from exc
    return written
