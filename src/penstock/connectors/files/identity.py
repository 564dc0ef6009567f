"""Which file is which, whatever its name is now: fingerprints of first bytes, and the names that log rotation gives."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from penstock.connectors.files.content import DamagedFile
from penstock.connectors.files.packed import open_content, packing

MARK_BYTES = 1024
"""Fingerprints cover at most so much."""


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
    """A file as the file system knows it, until it is deleted."""

    device: int
    number: int

    @staticmethod
    def of(found: os.stat_result) -> Inode:
        return Inode(found.st_dev, found.st_ino)


def head_of(path: str) -> bytes | None:
    """A file's first bytes, unpacked; None: it is gone, or a packed file that is still being written."""
    try:
        content = open_content(path)
    except FileNotFoundError:
        return None
    try:
        return content.peek(MARK_BYTES)
    except DamagedFile:
        return None
    finally:
        content.close()


def rotations(home: str) -> list[tuple[str, os.stat_result]]:
    """The files beside `home` that log rotation may have made of it, oldest first."""
    folder = os.path.dirname(home)
    found = []
    for entry in os.scandir(folder or "."):
        path = os.path.join(folder, entry.name)
        if is_rotation(path, home) and (seen := stat_of(path)):
            found.append((path, seen))
    return sorted(found, key=lambda pair: pair[1].st_mtime_ns)


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
