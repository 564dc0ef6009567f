"""The files that are followed: what stands under each home now, and what it became by rotation, oldest first.

A home is the path under which files are written. Its first generation is being read; those that are read to their end
are remembered (`follow_memory`), because they may be seen again: packed, copied or under another name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from penstock.connectors.files.follow_memory import Memory
from penstock.connectors.files.followed import FollowedFile, begin, reopen_copy
from penstock.connectors.files.identity import Inode, sighting


class Generations:
    """By home."""

    def __init__(self, memory: Memory, log: logging.Logger) -> None:
        self.memory = memory
        """Of files that were read to their end."""
        self.homes: dict[str, list[FollowedFile]] = {}
        self._log = log

    def dump(self) -> dict[str, Any]:
        """For the position of the reader."""
        files = [file.place.dump() for home in sorted(self.homes) for file in self.homes[home]]
        return {"files": files, **self.memory.dump()}

    def files(self) -> Iterator[FollowedFile]:
        """All that are open."""
        for generations in self.homes.values():
            yield from generations

    def inodes(self) -> set[Inode]:
        """Of all that are open."""
        return {file.inode for file in self.files()}

    def known(self) -> set[Inode]:
        """Files of which it is known what they are: none of them is a copy that is looked for."""
        return self.inodes() | self.memory.inodes()

    def next_home(self, after: str) -> str:
        """The next home that has something, so that a busy one starves nobody; `after` itself where none has."""
        homes = sorted(self.homes)
        behind = [home for home in homes if home > after] + [home for home in homes if home <= after]
        return next((home for home in behind if any(file.has_more() for file in self.homes[home])), after)

    def insert_oldest(self, home: str, file: FollowedFile) -> None:
        """A file to be read before all others of its home."""
        self.homes.setdefault(home, []).insert(0, file)

    def insert_newest(self, home: str, file: FollowedFile) -> None:
        """A file to be read behind all others of its home, but before the one that is written to now."""
        generations = self.homes.setdefault(home, [])
        living = file.path != home and generations and generations[-1].inode == _inode_at(home)
        generations.insert(len(generations) - 1 if living else len(generations), file)

    def retire(self, file: FollowedFile) -> None:
        """A file was read to its end."""
        found = file.stat()
        self.memory.keep(replace(file.place, size=found.st_size, mtime_ns=found.st_mtime_ns))
        file.close()

    def replace_truncated(self) -> None:
        """Look at all files for those that were truncated."""
        for home, generations in self.homes.items():
            for index in range(len(generations) - 1, -1, -1):
                if generations[index].is_replaced():
                    self.replace(home, index)

    def replace(self, home: str, index: int) -> None:
        """The file was truncated: its unread rest may be in a copy; then it starts over."""
        generations = self.homes[home]
        old = generations.pop(index)
        place = old.place
        old.close()
        self._log.info("%s was truncated or rewritten; it is read from its beginning", old.path)
        seen = sighting(old.path) or sighting(home)
        rest = reopen_copy(place, self.known())
        fresh = begin(seen.path, home) if seen and seen.inode == place.inode else None
        if rest is None:
            self.memory.orphan(place)
        generations[index:index] = [file for file in (rest, fresh) if file]

    def close(self) -> None:
        for file in self.files():
            file.close()


def _inode_at(path: str) -> Inode | None:
    seen = sighting(path)
    return None if seen is None else seen.inode
