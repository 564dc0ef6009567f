"""What a follower remembers of files that it has read to their end: each for as long as it exists. Pure.

A content whose file is gone, or was rewritten, is remembered for a while: it may come again, packed or copied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from penstock.connectors.files.followed import Place
from penstock.connectors.files.identity import Inode

MOST_ORPHANS = 256


class Memory:
    """Places by the inode of their file, and orphans, newest last."""

    def __init__(self) -> None:
        self._places: dict[Inode, Place] = {}
        self._orphans: list[Place] = []
        self._dumped: dict[str, Any] | None = None

    @staticmethod
    def load(dumped: Mapping[str, Any]) -> Memory:
        memory = Memory()
        for place in map(Place.load, dumped["past"]):
            memory._places[place.inode] = place
        memory._orphans = [Place.load(place) for place in dumped["orphans"]]
        return memory

    def dump(self) -> dict[str, Any]:
        """Made once for many positions, for it changes seldom."""
        if self._dumped is None:
            self._dumped = {
                "past": [place.dump() for place in self._places.values()],
                "orphans": [place.dump() for place in self._orphans],
            }
        return self._dumped

    def of(self, inode: Inode) -> Place | None:
        """What was read as the file that has that inode."""
        return self._places.get(inode)

    def inodes(self) -> set[Inode]:
        """The files that were read to their end and exist."""
        return set(self._places)

    def keep(self, place: Place) -> None:
        """A file was read to its end."""
        self._places[place.inode] = place
        self._dumped = None

    def orphan(self, place: Place) -> None:
        """What was read stands under its inode no longer."""
        if place.mark.length:
            self._orphans = [*self._orphans, place][-MOST_ORPHANS:]
            self._dumped = None

    def forget(self, inode: Inode) -> None:
        """Another file has that inode now, or the same one was rewritten: the content is an orphan."""
        place = self._places.pop(inode, None)
        if place is not None:
            self.orphan(place)
            self._dumped = None

    def gone(self, there: Collection[Inode]) -> None:
        """Make orphans of all whose file is not among those that are there."""
        for inode in [inode for inode in self._places if inode not in there]:
            self.forget(inode)

    def contents(self) -> Iterator[tuple[Place, bool]]:
        """Every content that is known, newest first, and whether a file with it still exists."""
        for place in reversed(self._orphans):
            yield place, False
        for place in reversed(self._places.values()):
            yield place, True
