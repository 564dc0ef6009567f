"""A journal on disk of what a source gave: appended to, made durable in groups, read again, trimmed from its beginning.

Offsets count all bytes that were ever appended. The journal is a folder of segments, each named by the offset at which
it begins, and of frames in each. What is behind the last whole frame was never synced, and is cut off.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final
from zlib import crc32

from penstock.errors import SourceDamaged
from penstock.operator import Unavailable
from penstock.private_files import make_private, open_own, remove_directory

_HEAD: Final = struct.Struct("<4sII")
"""Magic, length and checksum of the body."""
_MAGIC: Final = b"PSJF"
_TRIMMED: Final = struct.Struct("<QI")
SEGMENT_BYTES: Final = 16 * 1024 * 1024
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class JournalFull(Exception):
    """There is no room on the disk: nothing was appended."""


class Journal:
    """Opened by one process at a time."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Raises `Unavailable` while another process has it, `SourceDamaged`, `NotPrivate` and `OSError`."""
        make_private(folder)
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._lock = open_own(folder / "lock", os.O_RDWR | os.O_CREAT)
        self._read_from: tuple[int, int] = (-1, -1)
        """The segment that is open for reading, and its descriptor."""
        try:
            _lock(self._lock, folder)
            self._begins = self._segments()
            self._fd = self._open_last()
        except BaseException:
            os.close(self._lock)
            raise

    def _segments(self) -> list[int]:
        names = (name.removeprefix("journal.") for name in os.listdir(self.folder) if name.startswith("journal."))
        begins = sorted(int(name) for name in names if name.isdigit())
        for begin, following in pairwise(begins):
            found = self._path(begin).stat().st_size
            if begin + found != following:
                raise self._damage(f"the segment from {begin} on has {found} bytes instead of {following - begin}")
        return begins

    def _open_last(self) -> int:
        """Descriptor of the last segment, cut to what is whole; -1: there is none."""
        self.end = self._begins[-1] if self._begins else self.trimmed
        self.last: bytes = b""
        """The body of the last frame; empty: there is none."""
        if not self._begins:
            return -1
        fd = open_own(self._path(self._begins[-1]), os.O_RDWR)
        length = self._last_of(fd)
        if not length and len(self._begins) > 1:  # killed, or out of room, before the first frame of a segment
            before = open_own(self._path(self._begins[-2]), os.O_RDONLY)
            try:
                self._last_of(before)
            finally:
                os.close(before)
        self.end += length
        os.ftruncate(fd, length)
        return fd

    def _last_of(self, fd: int) -> int:
        """Note the last frame of a segment, if there is one; the bytes of those that are whole."""
        at = 0
        while (body := _frame(fd, at)) is not None:
            self.last = body
            at += _HEAD.size + len(body)
        return at

    def append(self, bodies: Sequence[bytes]) -> list[int]:
        """Frames behind the last one, durable when this returns; the offset behind each. Raises `JournalFull`."""
        if not self._begins or self.end - self._begins[-1] >= self._segment_bytes:
            self._begin_segment()
        at = self.end - self._begins[-1]
        data = b"".join(_HEAD.pack(_MAGIC, len(body), crc32(body)) + body for body in bodies)
        try:
            os.posix_fallocate(self._fd, at, len(data))
            _write(self._fd, data, at)
            os.fdatasync(self._fd)
        except OSError as exc:
            os.ftruncate(self._fd, at)
            if exc.errno in _FULL:
                raise JournalFull(f"{self.folder}: {os.strerror(exc.errno)}") from exc
            raise
        ends = []
        for body in bodies:
            self.end += _HEAD.size + len(body)
            ends.append(self.end)
        self.last = bodies[-1]
        return ends

    def _begin_segment(self) -> None:
        path = self._path(self.end)
        try:
            fd = open_own(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        except OSError as exc:
            if exc.errno in _FULL:
                raise JournalFull(f"{self.folder}: {os.strerror(exc.errno)}") from exc
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._begins.append(self.end)
        _sync_folder(self.folder)

    def read(self, offset: int) -> tuple[bytes, int]:
        """The body of the frame there, and the offset behind it. Raises `SourceDamaged`."""
        begin = max((begin for begin in self._begins if begin <= offset), default=-1)
        body = None
        if begin >= 0 and offset < self.end:
            body = _frame(self._descriptor(begin), offset - begin)
        if body is None:
            first = self._begins[0] if self._begins else self.end
            raise self._damage(f"it has nothing at {offset}, between {first} and {self.end}")
        return body, offset + _HEAD.size + len(body)

    def _descriptor(self, begin: int) -> int:
        if begin == self._begins[-1]:
            return self._fd
        if self._read_from[0] != begin:
            self._close_read()
            self._read_from = begin, open_own(self._path(begin), os.O_RDONLY)
        return self._read_from[1]

    @property
    def trimmed(self) -> int:
        """What lies before it is needed by nobody, as far as that was noted."""
        try:
            data = (self.folder / "trimmed").read_bytes()
        except FileNotFoundError:
            return 0
        if len(data) != _TRIMMED.size:
            return 0
        offset, check = _TRIMMED.unpack(data)
        return offset if check == crc32(data[:8]) else 0

    def require(self, offset: int) -> None:
        """A reader begins there. Raises `SourceDamaged` where that is not in the journal, nor its end."""
        first = self._begins[0] if self._begins else self.end
        if not first <= offset <= self.end:
            raise self._damage(f"rows from {offset} on are wanted, and it has those from {first} to {self.end}")

    @property
    def first(self) -> int:
        """Where a reader begins that knows of no position."""
        return max(self._begins[0] if self._begins else self.end, min(self.trimmed, self.end))

    def trim(self, offset: int) -> None:
        """Nobody needs what lies before: whole segments go, but for the one that has the last frame."""
        head = offset.to_bytes(8, "little")
        fd = open_own(self.folder / "trimmed", os.O_RDWR | os.O_CREAT)
        try:
            _write(fd, head + crc32(head).to_bytes(4, "little"), 0)
        finally:
            os.close(fd)
        kept = 2 if self._begins and self._begins[-1] == self.end else 1
        while len(self._begins) > kept and self._begins[1] <= offset:
            if self._read_from[0] == self._begins[0]:
                self._close_read()
            self._path(self._begins.pop(0)).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it; another process may open it then."""
        self._close_read()
        if self._fd >= 0:
            os.close(self._fd)
        os.close(self._lock)

    def _close_read(self) -> None:
        if self._read_from[1] >= 0:
            os.close(self._read_from[1])
        self._read_from = -1, -1

    def _path(self, begin: int) -> Path:
        return self.folder / f"journal.{begin:020d}"

    def _damage(self, what: str) -> SourceDamaged:
        return SourceDamaged(str(self.folder), f"the journal is damaged: {what}")


def remove_journals(folder: Path) -> None:
    """The run that they were for is over. What is not there is no error."""
    if folder.is_dir():
        remove_directory(folder)


def _lock(fd: int, folder: Path) -> None:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise Unavailable(f"the journal {folder} is in use by another process; give each run one of its own") from exc


def _frame(fd: int, at: int) -> bytes | None:
    """The body of the whole frame there; None: there is none."""
    head = os.pread(fd, _HEAD.size, at)
    if len(head) < _HEAD.size:
        return None
    magic, length, check = _HEAD.unpack(head)
    if magic != _MAGIC:
        return None
    body = os.pread(fd, length, at + _HEAD.size)
    return body if len(body) == length and crc32(body) == check else None


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
