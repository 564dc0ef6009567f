"""Follows the files that patterns match, through rotation: new files found, old ones read to their end first.

Decisions about identity live in `identity` and `follow_memory`, the reading of one file in `followed`, what stands at
the start in `follow_plan`. Where it cannot be told whether a file was read, it is read, and that is said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.batch import Batch
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.connectors.files import paths
from penstock.connectors.files.content import BreaksOff
from penstock.connectors.files.follow_memory import Memory
from penstock.connectors.files.follow_plan import follow_splits, home_of
from penstock.connectors.files.followed import (
    READ_WHOLE,
    FollowedFile,
    Place,
    Replaced,
    begin,
    continue_in_whole,
    reopen,
    reopen_copy,
)
from penstock.connectors.files.identity import Inode, Sighting, family, head_of, is_rotation, rotations_of, sighting
from penstock.connectors.files.line_reader import LineForm
from penstock.connectors.files.packed import packing
from penstock.errors import SourceDamaged
from penstock.source import Reader, Rejected, WithRejected

__all__ = ["SETTLES_S", "FollowReader", "follow_splits"]

SETTLES_S = 10.0
"""A file to which nothing was written for so long is whole: no copy of another in the making, no packed one either."""

Found = tuple[bytes, int, str] | Rejected


class FollowReader(Reader[str]):
    """Reads the files of its patterns for ever, in turns; what one file became by rotation, in order."""

    def __init__(
        self,
        split: Mapping[str, Any],
        position: Any,
        form: LineForm,
        *,
        discover_s: float,
        log: logging.Logger,
        skips_damaged: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._patterns: Sequence[str] = split["patterns"]
        self._since_ns: int = split["since"]
        """What was rotated out of sight of the patterns before is none of this run's business."""
        self._form = form
        self._discover_s = discover_s
        self._log = log
        self._skips_damaged = skips_damaged
        self._clock = clock
        self._discover_at = clock.monotonic()
        self._homes: dict[str, list[FollowedFile]] = {}
        """By the path under which files are written: their generations, oldest first; the first is being read."""
        self._memory = Memory()
        self._unsettled: dict[Inode, tuple[int, int, float]] = {}
        """Files that may be in the making: size and time stamp when last seen changed, and when that was."""
        self._told: set[str] = set()
        self._turn = ""
        """The home that is read next. Part of the position: opened there, the same rows follow."""
        self._resume(split["begin"] if position is None else position)

    def read(self) -> Batch[str] | WithRejected[str] | None:
        if self._clock.monotonic() >= self._discover_at:
            self._discover()
            self._discover_at = self._clock.monotonic() + self._discover_s
        if self._turn in self._homes and (found := self._lines_of(self._turn)):
            self._turn = self._next_turn()
            if isinstance(found, Rejected):
                return WithRejected([""], {0: found})
            return self._form.batch(*found)
        turn = self._next_turn()
        if turn == self._turn:
            return None
        self._turn = turn
        return []  # so that the position names the file before its rows are given

    def position(self) -> dict[str, Any]:
        files = [file.place.dump() for home in sorted(self._homes) for file in self._homes[home]]
        return {"files": files, "turn": self._turn, **self._memory.dump()}

    def _next_turn(self) -> str:
        """The home to read next: the one after the last that has something, so that a busy one starves nobody."""
        homes = sorted(self._homes)
        behind = [home for home in homes if home > self._turn] + [home for home in homes if home <= self._turn]
        return next((home for home in behind if any(file.has_more() for file in self._homes[home])), self._turn)

    def close(self) -> None:
        for file in self._files():
            file.close()

    def _files(self) -> Iterator[FollowedFile]:
        for generations in self._homes.values():
            yield from generations

    # Reading.

    def _lines_of(self, home: str) -> Found | None:
        """The next lines of the oldest generation that has some; those read to their end are dropped."""
        generations = self._homes[home]
        while generations:
            final = self._is_final(generations)
            try:
                if found := generations[0].next_lines(final=final):
                    return (*found, generations[0].path)
            except Replaced:
                self._replace(home, generations, 0)
                continue
            except SourceDamaged as damage:
                if self._is_in_the_making(generations[0]):
                    return None
                return self._skipped(generations, damage)
            if not final:
                return None
            self._retire(generations.pop(0))
        del self._homes[home]
        return None

    def _is_final(self, generations: list[FollowedFile]) -> bool:
        """True: nobody will write to the oldest one any more: a successor has content, or it is packed or a copy."""
        first = generations[0]
        if first.complete or first.stat().st_nlink == 0:
            return True
        return any(later.stat().st_size for later in generations[1:])

    def _is_in_the_making(self, file: FollowedFile) -> bool:
        """True: a packed file that breaks off, and may be written to its end yet."""
        found = file.stat()
        return file.is_packed and not self._is_settled(file.inode, found.st_size, found.st_mtime_ns)

    def _skipped(self, generations: list[FollowedFile], damage: SourceDamaged) -> Rejected:
        """The rest of a damaged file as one row that failed. Raises `damage` where none may be skipped."""
        if not self._skips_damaged:
            raise damage
        file = generations.pop(0)
        self._log.warning("%s; the rest of it is skipped", damage.told)
        self._retire(file)
        return Rejected(file.path, f"{damage.told}; the rest of it is skipped")

    def _replace(self, home: str, generations: list[FollowedFile], index: int) -> None:
        """The file was truncated: what was not read of it may stand in a copy, then it begins anew."""
        old = generations.pop(index)
        place = old.place
        old.close()
        self._log.info("%s was truncated or written anew; it is read from its beginning", old.path)
        seen = sighting(old.path) or sighting(home)
        rest = reopen_copy(place, self._others())
        fresh = begin(seen.path, home) if seen and seen.inode == place.inode else None
        if rest is None:
            self._memory.orphan(place)
        generations[index:index] = [file for file in (rest, fresh) if file]

    def _retire(self, file: FollowedFile) -> None:
        found = file.stat()
        self._memory.keep(replace(file.place, size=found.st_size, mtime_ns=found.st_mtime_ns))
        file.close()

    def _others(self) -> set[Inode]:
        """Files of which it is known what they are: none of them is a copy that is looked for."""
        return {file.inode for file in self._files()} | self._memory.inodes()

    # Finding.

    def _discover(self) -> None:
        """Look for files not known yet, oldest first."""
        # First those that were truncated: the copies that were made of them before are none of the unknown ones.
        for home, generations in self._homes.items():
            for index in range(len(generations) - 1, -1, -1):
                if generations[index].is_replaced():
                    self._replace(home, generations, index)
        live = {file.inode for file in self._files()}
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
                    self._tell_once(f"{damage.told}; it is looked at again")
                live = {file.inode for file in self._files()}
        self._memory.gone(there)
        self._unsettled = {inode: what for inode, what in self._unsettled.items() if inode in there}

    def _matched(self) -> dict[str, Sighting]:
        found = {path: sighting(path) for path in paths.expand(self._patterns)}
        return {path: seen for path, seen in found.items() if seen}

    def _all_homes(self) -> set[str]:
        named = {pattern for pattern in self._patterns if not paths.is_glob(pattern) and not pattern.endswith("/")}
        homes = named | set(self._homes) | {place.home for place, _ in self._memory.contents()}
        return homes | {family(home) for home in homes}

    def _is_news(self, seen: Sighting, live: set[Inode]) -> bool:
        if seen.inode in live:
            return False
        past = self._memory.of(seen.inode)
        return past is None or not past.is_as_left(seen)

    def _adopt(self, seen: Sighting, there: set[Inode]) -> None:
        """Begin with a file, or go on in it where its content is known; look at it again where it is in the making."""
        if head_of(seen.path) is None:
            return  # gone, or packed and hardly begun
        past = self._memory.of(seen.inode)
        if past is not None and self._go_on_in(seen, past):  # `BreaksOff`: looked at again
            return
        if past is not None:
            self._memory.forget(seen.inode)
        if self._has_known_content(seen, there) or self._may_be_copy(seen):
            return
        home = home_of(seen.path, self._homes)
        if file := begin(seen.path, home):
            generations = self._homes.setdefault(home, [])
            living = seen.path != home and generations and generations[-1].inode == _inode_at(home)
            generations.insert(len(generations) - 1 if living else len(generations), file)

    def _go_on_in(self, seen: Sighting, past: Place) -> bool:
        """Read what follows `past` in a file. False: it does not hold what was read."""
        if past.offset == READ_WHOLE:
            if past.size != seen.size:
                return False
            self._memory.keep(replace(past, inode=seen.inode, mtime_ns=seen.mtime_ns))
            return True
        rest = continue_in_whole(seen.path, past)
        if rest is not None:
            self._homes.setdefault(past.home, []).insert(0, rest)
        return rest is not None

    def _has_known_content(self, seen: Sighting, there: set[Inode]) -> bool:
        """True: the file holds what was read under another inode, packed or copied meanwhile; it is gone on with."""
        head = head_of(seen.path) or b""
        for past, has_file in self._memory.contents():
            if not past.mark.length or not past.mark.fits(head) or not _may_be(seen.path, past):
                continue
            if has_file and past.inode in there and not packing(seen.path) and seen.size > past.offset:
                continue  # the file that was read is there still, and this one has more: another that begins alike
            try:
                if self._go_on_in(seen, past):
                    return True
            except BreaksOff:
                if not self._is_settled(seen.inode, seen.size, seen.mtime_ns):
                    return True  # not whole yet: looked at again
        return False

    def _may_be_copy(self, seen: Sighting) -> bool:
        """True: it may be a copy of a file that is being read, about to be truncated; looked at again next time."""
        original = next((file for file in self._files() if _begins_alike(file, seen)), None)
        if original is None:
            return False
        if not self._is_settled(seen.inode, seen.size, seen.mtime_ns):
            return True
        self._tell_once(
            f"{seen.path} has the content of {original.path}, which is there still; it is read as a file of its own"
        )
        return False

    def _is_settled(self, inode: Inode, size: int, mtime_ns: int) -> bool:
        """True: nothing was written to a file for a while, as seen from here."""
        now = self._clock.monotonic()
        seen_size, seen_mtime_ns, at = self._unsettled.get(inode, (-1, -1, now))
        if (seen_size, seen_mtime_ns) != (size, mtime_ns):
            self._unsettled[inode] = size, mtime_ns, now
            return False
        return now >= at + SETTLES_S

    def _tell_once(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._log.warning("%s", what)

    def _resume(self, position: Mapping[str, Any]) -> None:
        """Find the files again where they are now."""
        self._memory = Memory.load(position)
        self._turn = position["turn"]
        matched = paths.expand(self._patterns)
        places = [Place.load(dumped) for dumped in position["files"]]
        wanted = {place.inode for place in places}
        for place in places:
            if file := reopen(place, matched, self._others() | wanted):
                self._homes.setdefault(place.home, []).append(file)
            elif place.mark.length:
                self._log.warning("%s is gone or was written anew; what was not read of it is lost", place.home)
                self._memory.orphan(place)


def _begins_alike(file: FollowedFile, seen: Sighting) -> bool:
    place = file.place
    return place.mark.length > 0 and is_rotation(seen.path, place.home) and file.begins_with(seen.path)


def _may_be(path: str, past: Place) -> bool:
    """True: by its name the file at `path` can be what was read as `past`; its content decides."""
    base = family(path)
    return is_rotation(path, past.home) or (path != base and base == family(past.home))


def _inode_at(path: str) -> Inode | None:
    seen = sighting(path)
    return None if seen is None else seen.inode
