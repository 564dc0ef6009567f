"""Children that the caller forks: what belongs to a run is closed in them, lest a helper keeps it alive or locked.

A child made by `os.fork` (by `multiprocessing`, too) inherits every descriptor. The lock of a run is held by whoever
has a descriptor of it, so a helper that outlives the caller would keep the next run out.
"""

from __future__ import annotations

import errno
import os
import weakref
from pathlib import Path
from typing import Protocol


class Forked(Protocol):
    """Something that a forked child must let go of."""

    def forked(self) -> None:
        """Called in the child."""


_descriptors: set[int] = set()
_objects: weakref.WeakSet[Forked] = weakref.WeakSet()


def close_in_children(fd: int) -> int:
    """Close this descriptor in forked children; gives it back."""
    _descriptors.add(fd)
    return fd


def holds(path: Path) -> bool:
    """True: one of these descriptors is of that file."""
    try:
        wanted = os.stat(path)
    except FileNotFoundError:
        return False
    return any(_is_of(fd, wanted) for fd in _descriptors)


def _is_of(fd: int, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), wanted)
    except OSError:  # the program has closed it
        return False


def close(fd: int) -> None:
    """Close here what `close_in_children` was told of. The program may have closed it already, as daemons do."""
    _descriptors.discard(fd)
    _close(fd)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError as exc:
        if exc.errno != errno.EBADF:
            raise


def tell_of_forks(held: Forked) -> None:
    """Call its `forked` in forked children, as long as it lives."""
    _objects.add(held)


def _in_child() -> None:
    for fd in _descriptors:
        _close(fd)
    _descriptors.clear()
    for held in list(_objects):
        held.forked()


os.register_at_fork(after_in_child=_in_child)
