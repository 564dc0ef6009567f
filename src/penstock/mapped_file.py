"""Shared files mapped into memory: for workers, and for nobody else (`shared_file` says why).

Nothing that supervisor or calling process import by themselves may import this; `lint-imports` checks it.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from penstock.run_files import open_file, size_of
from penstock.shared_file import SharedFile

_kept_from_children = False


def keep_from_children() -> None:
    """What this process maps from now on is not there in children that user code forks."""
    global _kept_from_children
    _kept_from_children = True


def by_mapping(
    path: Path, what: str, *, size: int | None = None, least: int = 1, writable: bool = True,
    for_children: bool = False,
) -> SharedFile:
    """Map a whole file. As `shared_file.Opening` says."""
    fd = open_file(path, what, writable=writable)
    try:
        there = size_of(fd, path, what, size, least)
        mapped = mmap.mmap(fd, there, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        if _kept_from_children and not for_children:
            mapped.madvise(mmap.MADV_DONTFORK)
    finally:
        os.close(fd)
    data = memoryview(mapped)
    return SharedFile(data[: there & ~7].cast("Q"), data, mapped)
