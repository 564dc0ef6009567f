"""What stands where a followed source begins: the files that are there and which they are, before a run reads them.

Noted when a run is planned, so that a file which is rotated before its first line is read is known all the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.connectors.files import paths
from penstock.connectors.files.follow_memory import Memory
from penstock.connectors.files.followed import READ_WHOLE, Place, place_of
from penstock.connectors.files.identity import family, is_rotation
from penstock.working_directory import absolute

_REALTIME_COARSE = 5
"""The kernel's clock for time stamps of files (CLOCK_REALTIME_COARSE)."""


def follow_splits(patterns: Sequence[str], at_end: bool) -> dict[str, Any]:
    """One split for all patterns, so that a file is read once though several match it.

    `at_end`: files that are there are read from where they end now.
    """
    whole = [absolute(pattern) + ("/" if pattern.endswith("/") else "") for pattern in patterns]
    since_ns = time.clock_gettime_ns(_REALTIME_COARSE)
    memory = Memory()
    reading: list[tuple[Place, bool, int]] = []
    for path in paths.expand(whole):
        place = place_of(path, home_of(path, ()), at_end=at_end)
        if place is not None and place.offset == READ_WHOLE:
            memory.keep(place)
        elif place is not None:
            reading.append((place, path == place.home, os.stat(path).st_mtime_ns))
    # Of one home, what rotation made of it comes first, oldest before newest.
    reading.sort(key=lambda read: (read[0].home, *read[1:]))
    begin = {"files": [place.dump() for place, _, _ in reading], "turn": "", **memory.dump()}
    return {", ".join(patterns): {"patterns": whole, "since": since_ns, "begin": begin}}


def home_of(path: str, homes: Mapping[str, Any] | Sequence[str]) -> str:
    """The path that a file was written under: of a rotated file the one that it had before, if something is there."""
    base = family(path)
    rotated = is_rotation(path, base) and os.path.basename(path).startswith(os.path.basename(base))
    return base if rotated and (base in homes or os.path.exists(base)) else path
