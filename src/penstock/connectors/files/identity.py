"""Which file is which, whatever its name is now: fingerprints of first bytes, and the names that log rotation gives."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.connectors.files.born import born_ns
from penstock.connectors.files.content import FileGone
from penstock.connectors.files.packed import open_content, packing
from penstock.errors import SourceDamaged

MARK_BYTES = 1024
"""Fingerprints cover at most this much."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A fingerprint of `length` bytes, unpacked. Inodes alone do not tell: they are used again at once."""

    length: int = 0
    digest: str = ""

    @staticmethod
    def of(head: bytes) -> Mark:
        """The mark of some bytes, of the first of them at most."""
        head = head[:MARK_BYTES]
        return Mark(len(head), hashlib.blake2b(head, digest_size=8).hexdigest()) if head else Mark()

    def fits(self, head: bytes) -> bool:
        """True: a file with that beginning may be the one. A mark of no bytes fits any."""
        return len(head) >= self.length and Mark.of(head[: self.length]) == self


NO_MARK = Mark()
"""Of a file that nothing was read of."""


@dataclass(frozen=True, slots=True)
class Inode:
    """A file as the file system knows it. A number is given to another file at once; that one was born later."""

    device: int
    number: int
    born_ns: int = 0
    """0: the file system does not say."""

    @staticmethod
    def of(path_or_fd: str | int, found: os.stat_result) -> Inode:
        return Inode(found.st_dev, found.st_ino, born_ns(path_or_fd))


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it is now, under one of its names."""

    path: str
    inode: Inode
    size: int
    mtime_ns: int


def sighting(path: str) -> Sighting | None:
    """What is at a path; None: nothing."""
    found = stat_of(path)
    return None if found is None else Sighting(path, Inode.of(path, found), found.st_size, found.st_mtime_ns)


def head_of(path: str) -> bytes | None:
    """A file's first bytes, unpacked; None: it is gone, or a packed file that is still being written."""
    try:
        content = open_content(path)
    except FileGone:
        return None
    try:
        return content.peek(MARK_BYTES)
    except SourceDamaged:
        return None
    finally:
        content.close()


def rotations(home: str) -> list[Sighting]:
    """The files beside `home` that log rotation may have made of it, oldest first.

    A file that was found under a rotated name has other such names later, those of its family.
    """
    return rotations_of({home, family(home)})


def rotations_of(homes: Iterable[str]) -> list[Sighting]:
    """The same for many, looking into each folder once."""
    by_family: dict[str, list[str]] = {}
    for home in homes:
        by_family.setdefault(family(home), []).append(home)
    found = []
    for folder in sorted({os.path.dirname(home) for home in by_family}):
        for name in _names_in(folder):
            path = os.path.join(folder, name)
            if any(is_rotation(path, home) for home in by_family.get(family(path), ())) and (seen := sighting(path)):
                found.append(seen)
    return sorted(found, key=lambda seen: seen.mtime_ns)


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder or "."))
    except OSError:  # the folder is gone, and with it what was in it
        return []


def is_rotation(path: str, home: str) -> bool:
    """True for `app.log.1`, `app.log.2.gz`, `app.log-20240131`, `app-20240131.log`, `app.log.old` of `app.log`."""
    folder, name = os.path.split(path)
    home_folder, base = os.path.split(home)
    if folder != home_folder or name == base:
        return False
    kind = packing(name)
    name = name.rpartition(".")[0] if kind else name
    stem, ending = os.path.splitext(base)
    turn = r"[._-](\d[\w.:+-]*|old|bak|prev)"
    if name == base or re.fullmatch(re.escape(base) + turn, name):
        return True
    return bool(ending and re.fullmatch(re.escape(stem) + turn + re.escape(ending), name))


def family(path: str) -> str:
    """The name with every mark of rotation and packing taken off: `app.log` for `app.log.2.gz` and `app-2024.log`."""
    folder, name = os.path.split(path)
    name = name.rpartition(".")[0] if packing(name) else name
    return os.path.join(folder, re.sub(r"(?<=.)[._-](?:\d[\w:+-]*|old|bak|prev)(?=\.[A-Za-z]\w*$|$)", "", name))


def stat_of(path: str) -> os.stat_result | None:
    """`os.stat`, or None where nothing is there (any more)."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
