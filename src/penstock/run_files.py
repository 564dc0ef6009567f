"""Files of a run directory: opened, read and written so that what is missing, cut or out of reach is told by its name.

What several processes have open at once is a `shared_file`; what is read as a whole is read and written here.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from zlib import crc32

from penstock.errors import FileUnusable, NotPrivate, PenstockError, QueueDamaged
from penstock.private_files import open_own, read_own, replace_own

_NOT_WHAT_IT_WAS = {errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ESTALE}
_CHECK = struct.Struct("<II")


def refused(path: Path, what: str, error: OSError | NotPrivate) -> PenstockError:
    """What to raise when the operating system does not give a file, or gives one that may be another user's."""
    if isinstance(error, NotPrivate):
        return QueueDamaged(path, f"{what} {error.why}")
    if error.errno == errno.ENOENT:
        return QueueDamaged(path, f"{what} is missing")
    if error.errno in _NOT_WHAT_IT_WAS:
        return QueueDamaged(path, f"{what} is no longer a file ({error.strerror})")
    return FileUnusable(path, what, error)


def open_file(path: Path, what: str, *, writable: bool = True) -> int:
    """A descriptor. Raises `QueueDamaged` where there is no such file of ours, `FileUnusable` without access."""
    try:
        return open_own(path, os.O_RDWR if writable else os.O_RDONLY)
    except (OSError, NotPrivate) as exc:
        raise refused(path, what, exc) from exc


def size_of(fd: int, path: Path, what: str, size: int | None, least: int) -> int:
    """How long an open file is. `size`: what it must have; else it must have `least`. Raises `QueueDamaged`."""
    there = os.fstat(fd).st_size
    require_size_of(path, what, there, size, least)
    return there


def require_size_of(path: Path, what: str, there: int, size: int | None, least: int) -> None:
    """The same for a file whose length is known."""
    if size is not None:
        require_size(path, what, there, size)
    if there < least:
        raise QueueDamaged(path, f"{what} was cut to {there} bytes")


def require_size(path: Path, what: str, there: int, size: int) -> None:
    """Raises `QueueDamaged` for a file that is shorter or longer than it was made."""
    if there < size:
        raise QueueDamaged(path, f"{what} was cut from {size} to {there} bytes")
    if there > size:
        raise QueueDamaged(path, f"{what} has {there} bytes instead of {size}")


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
