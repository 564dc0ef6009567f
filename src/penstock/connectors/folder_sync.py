"""Names that outlive a power cut: a file's name is on the disk once its folder is, whatever was done for its bytes."""

from __future__ import annotations

import errno
import os

from penstock.working_directory import absolute

_NOT_SYNCABLE = (errno.EINVAL, errno.EACCES)
"""A file system whose folders cannot be synced; a folder that may be written to and not read."""


def sync_folder_of(path: str) -> None:
    """Called after a file has appeared at `path`, and before anything is removed that could make it again."""
    try:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        if exc.errno not in _NOT_SYNCABLE:
            raise


def make_folder(path: str) -> None:
    """Make a folder and those above it that are not there; their names are on the disk, too."""
    made, above = [], absolute(path)
    while not os.path.isdir(above) and above != os.path.dirname(above):
        made.append(above)
        above = os.path.dirname(above)
    os.makedirs(path, exist_ok=True)
    for folder in reversed(made):
        sync_folder_of(folder)
