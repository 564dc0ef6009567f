"""Whether a bounded file is still the one that a run began to read: by device, inode, size and content.

`Glance` is a file at one moment and `Seen` what a reader knows of it, both values; `compare` decides. `FileWatch` is
the shell that the readers hold.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from penstock.connectors.files.born import born_ns
from penstock.errors import SourceDamaged

MARK_BYTES = 1024
"""This much of a file's beginning, and of what stands before the position, is known again."""
_FRESH = "restore its content, or start over with `--fresh` (fresh=True)"


@dataclass(frozen=True, slots=True)
class Glance:
    """A file as the file system shows it."""

    device: int
    inode: int
    born_ns: int
    size: int
    mtime_ns: int

    @staticmethod
    def of(path_or_fd: str | int) -> Glance:
        """Raises `OSError`."""
        found = os.stat(path_or_fd)
        return Glance(found.st_dev, found.st_ino, born_ns(path_or_fd), found.st_size, found.st_mtime_ns)

    @property
    def dump(self) -> list[int]:
        return [self.device, self.inode, self.born_ns, self.size, self.mtime_ns]

    def is_same_file(self, other: Glance) -> bool:
        return (self.device, self.inode, self.born_ns) == (other.device, other.inode, other.born_ns)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader knows of its file; msgpack-able by `dump`."""

    glance: Glance
    """When it was opened first."""
    head: tuple[int, int]
    """Length and checksum of its first bytes."""
    tail: tuple[int, int]
    """The same of the bytes before `consumed`."""
    consumed: int
    """The offset up to which it was read."""

    @property
    def dump(self) -> list[Any]:
        return [self.glance.dump, list(self.head), list(self.tail), self.consumed]

    @staticmethod
    def load(dumped: Sequence[Any]) -> Seen:
        glance, head, tail, consumed = dumped
        return Seen(Glance(*glance), (head[0], head[1]), (tail[0], tail[1]), consumed)

    def is_in(self, fd: int) -> bool:
        """True: the file of `fd` has the bytes that were read, as far as they are known."""
        tail_at = self.consumed - self.tail[0]
        return mark(fd, 0, self.head[0]) == self.head and mark(fd, tail_at, self.tail[0]) == self.tail


def mark(fd: int, offset: int, size: int) -> tuple[int, int]:
    """Length and checksum of at most `size` bytes at `offset`."""
    data = os.pread(fd, size, offset)
    return len(data), crc32(data)


def compare(before: Glance, now: Glance, *, read_all: bool, at_path: Glance | None) -> tuple[str, bool]:
    """(what became of a file while it was read, whether rows are missing by it); ("", False): nothing.

    `read_all`: all was read that the file had `before`. `now`: the file that was read; `at_path`: what stands under its
    name now. Growth and replacement leave what was read whole; a change within it shows in its content, which the
    caller looks at.
    """
    if now.size < before.size:
        return f"it was truncated from {before.size} to {now.size} bytes while it was read", not read_all
    if now.size > before.size:
        return f"it grew from {before.size} to {now.size} bytes while it was read (follow=True reads on)", False
    if now.mtime_ns != before.mtime_ns:
        return "it was written to while it was read; its size is the same", False
    if at_path is None:
        return "it was deleted while it was read; the file that was deleted was read", False
    if not at_path.is_same_file(now):
        return "another file took its place while it was read; the former one was read", False
    return "", False


class FileWatch:
    """Looks at one open file: on resuming, and where it ends."""

    def __init__(self, fd: int, path: str, log: logging.Logger | None) -> None:
        self._fd = fd
        self._path = path
        self._log = log
        self._glance = Glance.of(fd)
        self._head = mark(fd, 0, MARK_BYTES)
        self._told = ""

    def planned(self, dumped: Sequence[int], *, whole: bool) -> None:
        """Compare with the file that was there when the run was planned. Raises `SourceDamaged`.

        `whole`: nobody else reads parts of it, so a later version of the file is as good.
        """
        planned = Glance(*dumped)
        if self._glance.is_same_file(planned) and self._glance.size >= planned.size:
            return
        what = "truncated" if self._glance.is_same_file(planned) else "replaced"
        if not whole:
            said = f"it was {what} after the run began, and parts of it may already have been read"
            raise SourceDamaged(self._path, said, _FRESH)
        self._tell(f"it was {what} after the run began; it is read as it is now")

    def resumed(self, seen: Seen) -> None:
        """Compare with what an earlier life read of the file. Raises `SourceDamaged`."""
        same = self._glance.is_same_file(seen.glance)
        if not seen.is_in(self._fd):
            what = "was truncated or rewritten" if same else "was replaced by another file"
            raise SourceDamaged(
                self._path, f"it {what} after {seen.consumed} bytes of it were read, and those are gone", _FRESH
            )
        if not same:
            self._tell("another file took its place that begins with what was read before; reading continues in it")
        self._glance = seen.glance if same else self._glance

    def seen(self, consumed: int) -> Seen:
        """What a successor must know."""
        length = min(consumed, MARK_BYTES)
        head = self._head
        if head[0] > consumed:  # what was not read may still change
            head = mark(self._fd, 0, consumed)
        return Seen(self._glance, head, mark(self._fd, consumed - length, length), consumed)

    def damage(self, consumed: int, *, last: Seen | None, end: int | None = None) -> SourceDamaged | None:
        """What happened to the file while it was read, where rows are wrong or missing by it. Told where they are not.

        Asked where the file, or the part of it up to `end`, seems to end. `last`: what was known of it at the last
        position.
        """
        now, at_path = Glance.of(self._fd), _glance_at(self._path)
        read_all = consumed >= (self._glance.size if end is None else end)
        what, missing = compare(self._glance, now, read_all=read_all, at_path=at_path)
        if not what:
            return None
        rewritten = mark(self._fd, 0, self._head[0]) != self._head and now.size >= self._glance.size
        if rewritten or (last is not None and now.size >= last.consumed and not last.is_in(self._fd)):
            return SourceDamaged(self._path, "it was rewritten while it was read", _FRESH)
        if missing:
            return SourceDamaged(self._path, f"{what}, after {consumed} of them were read", _FRESH)
        self._tell(what)
        return None

    def _tell(self, what: str) -> None:
        if self._log is not None and what != self._told:
            self._log.warning("%s: %s", self._path, what)
        self._told = what


def _glance_at(path: str) -> Glance | None:
    try:
        return Glance.of(path)
    except OSError:  # gone, or in a folder that is
        return None
