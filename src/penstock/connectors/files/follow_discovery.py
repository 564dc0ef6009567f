"""Finds the files that a follower reads: at its start, after a restart, and while it runs.

What is found may be a file that was never seen, one that was read under another name, packed or copied, or a copy in
the making. Where it cannot be told whether a file was read, it is read, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.connectors.files import paths
from penstock.connectors.files.content import BreaksOff
from penstock.connectors.files.follow_plan import home_of
from penstock.connectors.files.followed import READ_WHOLE, FollowedFile, Place, begin, continue_in_whole, reopen
from penstock.connectors.files.generations import Generations
from penstock.connectors.files.identity import Inode, Sighting, family, head_of, is_rotation, rotations_of, sighting
from penstock.connectors.files.packed import packing
from penstock.connectors.files.settling import Settling
from penstock.errors import SourceDamaged


class FollowDiscovery:
    """Adds what it finds to the generations of the homes."""

    def __init__(
        self, patterns: Sequence[str], since_ns: int, generations: Generations, settling: Settling,
        log: logging.Logger,
    ) -> None:
        """`since_ns`: what was rotated out of sight of the patterns before is none of this run's business."""
        self._patterns = patterns
        self._since_ns = since_ns
        self._generations = generations
        self._memory = generations.memory
        self._settling = settling
        self._log = log
        self._told: set[str] = set()

    def discover(self) -> None:
        """Look for files not known yet, oldest first."""
        # First those that were truncated: the copies that were made of them before are none of the unknown ones.
        self._generations.replace_truncated()
        live = self._generations.inodes()
        matched = self._matched()
        rotated = [seen for seen in rotations_of(self._all_homes()) if seen.path not in matched]
        there = live | {seen.inode for seen in (*matched.values(), *rotated)}
        new = [seen for seen in matched.values() if self._is_news(seen, live)]
        # Rotated out of sight of the patterns: of interest where something was written to it since the run was planned.
        new += [seen for seen in rotated if seen.mtime_ns >= self._since_ns and self._is_news(seen, live)]
        for seen in sorted(new, key=lambda seen: seen.mtime_ns):
            if seen.inode not in live:  # a file under two names
                try:
                    self._adopt(seen, there)
                except SourceDamaged as damage:
                    self._tell_once(f"{damage.told}; it is checked again later")
                live = self._generations.inodes()
        self._memory.gone(there)
        self._settling.keep(there)

    def resume(self, position: Mapping[str, Any]) -> None:
        """Find the files of a position again, where they are now."""
        matched = paths.expand(self._patterns)
        places = [Place.load(dumped) for dumped in position["files"]]
        wanted = {place.inode for place in places}
        for place in places:
            if file := reopen(place, matched, self._generations.known() | wanted):
                self._generations.homes.setdefault(place.home, []).append(file)
            elif place.mark.length:
                self._log.warning("%s is gone or was rewritten; what was not read of it is lost", place.home)
                self._memory.orphan(place)

    def _matched(self) -> dict[str, Sighting]:
        found = {path: sighting(path) for path in paths.expand(self._patterns)}
        return {path: seen for path, seen in found.items() if seen}

    def _all_homes(self) -> set[str]:
        named = {pattern for pattern in self._patterns if not paths.is_glob(pattern) and not pattern.endswith("/")}
        homes = named | set(self._generations.homes) | {place.home for place, _ in self._memory.contents()}
        return homes | {family(home) for home in homes}

    def _is_news(self, seen: Sighting, live: set[Inode]) -> bool:
        if seen.inode in live:
            return False
        past = self._memory.of(seen.inode)
        return past is None or not past.is_as_left(seen)

    def _adopt(self, seen: Sighting, there: set[Inode]) -> None:
        """Begin with a file, or resume in it if its content is known; look again later if it is still being made."""
        if head_of(seen.path) is None:
            return  # gone, or packed and hardly begun
        past = self._memory.of(seen.inode)
        if past is not None and self._resume_in(seen, past):  # `BreaksOff`: looked at again
            return
        if past is not None:
            self._memory.forget(seen.inode)
        if self._has_known_content(seen, there) or self._may_be_copy(seen):
            return
        home = home_of(seen.path, self._generations.homes)
        if file := begin(seen.path, home):
            self._generations.insert_newest(home, file)

    def _resume_in(self, seen: Sighting, past: Place) -> bool:
        """Read what follows `past` in a file. False: it does not hold what was read."""
        if past.offset == READ_WHOLE:
            if past.size != seen.size:
                return False
            self._memory.keep(replace(past, inode=seen.inode, mtime_ns=seen.mtime_ns))
            return True
        rest = continue_in_whole(seen.path, past)
        if rest is not None:
            self._generations.insert_oldest(past.home, rest)
        return rest is not None

    def _has_known_content(self, seen: Sighting, there: set[Inode]) -> bool:
        """True: the file holds what was read under another inode, packed or copied meanwhile; its rest is read."""
        head = head_of(seen.path) or b""
        for past, has_file in self._memory.contents():
            if not past.mark.length or not past.mark.fits(head) or not _may_be(seen.path, past):
                continue
            if has_file and past.inode in there and not packing(seen.path) and seen.size > past.offset:
                continue  # the file that was read still exists, and this one has more: another file that begins alike
            try:
                if self._resume_in(seen, past):
                    return True
            except BreaksOff:
                if not self._settling.is_settled(seen.inode, seen.size, seen.mtime_ns):
                    return True  # not whole yet: looked at again
        return False

    def _may_be_copy(self, seen: Sighting) -> bool:
        """True: it may be a copy of a file that is being read, about to be truncated; looked at again next time."""
        original = next((file for file in self._generations.files() if _begins_alike(file, seen)), None)
        if original is None:
            return False
        if not self._settling.is_settled(seen.inode, seen.size, seen.mtime_ns):
            return True
        self._tell_once(
            f"{seen.path} has the content of {original.path}, which still exists; it is read as a separate file"
        )
        return False

    def _tell_once(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._log.warning("%s", what)


def _begins_alike(file: FollowedFile, seen: Sighting) -> bool:
    place = file.place
    return place.mark.length > 0 and is_rotation(seen.path, place.home) and file.begins_with(seen.path)


def _may_be(path: str, past: Place) -> bool:
    """True: by its name the file at `path` can be what was read as `past`; its content decides."""
    base = family(path)
    return is_rotation(path, past.home) or (path != base and base == family(past.home))
