"""Follows the files that a pattern matches, through rotation: new files found, old ones read to their end first.

One split per pattern, so that a file is known again under any name that the pattern or log rotation gives it. Decisions
about identity live in `identity`, the reading of one file in `followed`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.batch import Batch
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.connectors.files import paths
from penstock.connectors.files.followed import (
    READ_WHOLE,
    FollowedFile,
    Place,
    Replaced,
    begin,
    continue_in,
    end_of,
    reopen,
    reopen_copy,
)
from penstock.connectors.files.identity import MARK_BYTES, Inode, family, head_of, is_rotation, rotations, stat_of
from penstock.connectors.files.line_reader import LineForm
from penstock.source import Reader

_REMEMBERED = 64
"""Finished files that are known again, should they appear packed or copied."""

Settled = tuple[int, int, int, int]


def follow_splits(patterns: Sequence[str], at_end: bool) -> dict[str, Any]:
    """A split per pattern. `at_end`: with the places at which its files end now, for what is there already."""
    found: dict[str, Any] = {}
    for pattern in patterns:
        whole = os.path.abspath(pattern) + ("/" if pattern.endswith("/") else "")
        places = [place for path in paths.matching(whole) if (place := end_of(path))] if at_end else []
        reading = [place for place in places if place.offset != READ_WHOLE]
        found[pattern] = {
            "pattern": whole,
            "begin": {**_dump(reading, []), "turn": ""},
            "skipped": _dump([], [place for place in places if place.offset == READ_WHOLE])["past"],
        }
    return found


class FollowReader(Reader[str]):
    """Reads the files of one pattern for ever, in turns; what one file became by rotation, in order."""

    def __init__(
        self,
        split: Mapping[str, Any],
        position: Any,
        form: LineForm,
        *,
        discover_s: float,
        log: logging.Logger,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._pattern = split["pattern"]
        self._form = form
        self._discover_s = discover_s
        self._log = log
        self._clock = clock
        self._discover_at = clock.monotonic()
        self._homes: dict[str, list[FollowedFile]] = {}
        """By the path under which files are written: their generations, oldest first; the first is being read."""
        self._skipped = [Place.load(dumped) for dumped in split["skipped"]]
        self._past: list[Place] = []
        """What was read to its end, newest last."""
        self._settled: set[Settled] = set()
        """Packed or copied files known to hold nothing new, as they are now."""
        self._turn = ""
        """The home that is read next. Part of the position: opened there, the same rows follow."""
        self._resume(split["begin"] if position is None else position)

    def read(self) -> Batch[str] | None:
        if self._clock.monotonic() >= self._discover_at:
            self._discover()
            self._discover_at = self._clock.monotonic() + self._discover_s
        if self._turn in self._homes and (found := self._lines_of(self._turn)):
            self._turn = self._next_turn()
            return self._form.batch(*found)
        turn = self._next_turn()
        if turn == self._turn:
            return None
        self._turn = turn
        return []  # so that the position names the file before its rows are given

    def position(self) -> dict[str, Any]:
        files = [file.place for home in sorted(self._homes) for file in self._homes[home]]
        return {**_dump(files, self._past), "turn": self._turn}

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

    def _lines_of(self, home: str) -> tuple[bytes, int] | None:
        """The next lines of the oldest generation that has some; those read to their end are dropped."""
        generations = self._homes[home]
        while generations:
            final = self._is_final(generations)
            try:
                if found := generations[0].next_lines(final=final):
                    return found
            except Replaced:
                self._replace(home, generations)
                continue
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

    def _replace(self, home: str, generations: list[FollowedFile]) -> None:
        """The file was truncated: what was not read of it may stand in a copy, then it begins anew."""
        old = generations.pop(0)
        place = old.place
        old.close()
        self._log.info("%s was truncated or written anew; it is read from its beginning", home)
        found = stat_of(home)
        rest = reopen_copy(place)
        fresh = begin(home, home) if found and Inode.of(found) == place.inode else None
        self._remember(place)
        generations[:0] = [file for file in (rest, fresh) if file]

    def _retire(self, file: FollowedFile) -> None:
        self._remember(file.place)
        self._settled.add(_settled(file.stat()))
        file.close()

    def _remember(self, place: Place) -> None:
        if place.mark.length:
            self._past = [*(past for past in self._past if past.mark != place.mark), place][-_REMEMBERED:]

    def _discover(self) -> None:
        """Look for files not known yet, oldest first."""
        known = {file.inode for file in self._files()}
        seen = [(path, found) for path in paths.matching(self._pattern) if (found := stat_of(path))]
        for path, found in sorted(seen, key=lambda pair: pair[1].st_mtime_ns):
            if Inode.of(found) not in known and _settled(found) not in self._settled:
                home = self._home_of(path)
                for missed in self._missed(path, known):
                    self._adopt(missed, home)
                self._adopt(path, home)
                known = {file.inode for file in self._files()}

    def _missed(self, home: str, known: set[Inode]) -> list[str]:
        """Rotated files that came and went between the last generation known and the one found now."""
        if home not in self._homes:
            return []
        last = self._homes[home][-1].stat()
        return [
            path
            for path, found in rotations(home)
            if found.st_mtime_ns > last.st_mtime_ns
            and Inode.of(found) not in known
            and _settled(found) not in self._settled
        ]

    def _adopt(self, path: str, home: str) -> None:
        """Begin with a file that is not known by its inode, unless its content is known."""
        head, found = head_of(path), stat_of(path)
        if head is None or found is None:
            return
        inode = Inode.of(found)
        for past in (*reversed(self._past), *self._skipped):
            if past.mark.fits(head) and _may_be(path, inode, past):
                if past.offset == READ_WHOLE:
                    self._settled.add(_settled(found))
                    return
                if rest := continue_in(path, past):
                    self._homes.setdefault(past.home, []).insert(0, rest)
                    return
        live = (file.place for file in self._files())
        if any(place.mark.length and place.mark.fits(head) and is_rotation(path, place.home) for place in live):
            return  # a copy in the making, while the file itself is still there: looked at again next time
        if file := begin(path, home):
            generations = self._homes.setdefault(home, [])
            living = path != home and generations and _is_at(home, generations[-1])
            generations.insert(len(generations) - 1 if living else len(generations), file)

    def _home_of(self, path: str) -> str:
        """Rotated files are read before the one that they were, if that is there."""
        base = family(path)
        rotated = is_rotation(path, base) and os.path.basename(path).startswith(os.path.basename(base))
        return base if rotated and (base in self._homes or os.path.exists(base)) else path

    def _resume(self, position: Mapping[str, Any]) -> None:
        """Find the files again where they are now."""
        self._past = [Place.load(dumped) for dumped in position["past"]]
        self._turn = position["turn"]
        matched = paths.matching(self._pattern)
        for dumped in position["files"]:
            place = Place.load(dumped)
            if file := reopen(place, matched):
                self._homes.setdefault(place.home, []).append(file)
            else:
                self._log.warning("%s is gone or was written anew; what was not read of it is lost", place.home)
                self._remember(place)


def _may_be(path: str, inode: Inode, past: Place) -> bool:
    """True: by its name or inode the file at `path` can be what was read as `past`; its content decides."""
    if inode == past.inode or is_rotation(path, past.home):
        return True
    base = family(path)
    return past.offset >= MARK_BYTES and path != base and base == family(past.home)


def _is_at(path: str, file: FollowedFile) -> bool:
    found = stat_of(path)
    return found is not None and Inode.of(found) == file.inode


def _dump(files: Sequence[Place], past: Sequence[Place]) -> dict[str, Any]:
    return {"files": [place.dump() for place in files], "past": [place.dump() for place in past]}


def _settled(found: os.stat_result) -> Settled:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
