"""Whether a place has room for a run: asked before anything is made there, and told where it turns out too late."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from penstock.metrics import text

FULL = (errno.ENOSPC, errno.EDQUOT)
_SPARE = 1.25


class NoRoom(Exception):
    """A place is too small; what it lacks, in words."""


class Unusable(Exception):
    """Nothing can be made in a place (it is read-only, say); why, in words."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(why)
        self.path = path


def require_room(path: Path, needed: int) -> None:
    """Raises `NoRoom` where there is less than what is needed and a little more."""
    place = os.statvfs(path)
    free = place.f_bavail * place.f_frsize
    if free < needed * _SPARE:
        raise NoRoom(f"{text.size(free)} of room, and this pipeline's queues need {text.size(needed * _SPARE)}")
