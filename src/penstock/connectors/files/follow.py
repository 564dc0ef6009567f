"""Follows the files that patterns match, through rotation: new files found, old ones read to their end first.

`follow_discovery` finds files, `generations` has those that are open, `followed` reads one of them. What is there
at the start is in `follow_plan`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from penstock.batch import Batch
from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.connectors.files.follow_discovery import FollowDiscovery
from penstock.connectors.files.follow_memory import Memory
from penstock.connectors.files.follow_plan import follow_splits
from penstock.connectors.files.followed import FollowedFile, Replaced
from penstock.connectors.files.generations import Generations
from penstock.connectors.files.line_reader import LineForm
from penstock.connectors.files.settling import SETTLES_S, Settling
from penstock.errors import SourceDamaged
from penstock.source import Reader, Rejected, WithRejected

__all__ = ["SETTLES_S", "FollowReader", "follow_splits"]

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
        self._form = form
        self._discover_s = discover_s
        self._log = log
        self._skips_damaged = skips_damaged
        self._clock = clock
        self._discover_at = clock.monotonic()
        position = split["begin"] if position is None else position
        self._turn: str = position["turn"]
        """The home that is read next. Part of the position: opened there, the same rows follow."""
        self._settling = Settling(clock)
        self._generations = Generations(Memory.load(position), log)
        self._discovery = FollowDiscovery(split["patterns"], split["since"], self._generations, self._settling, log)
        self._discovery.resume(position)

    def read(self) -> Batch[str] | WithRejected[str] | None:
        if self._clock.monotonic() >= self._discover_at:
            self._discovery.discover()
            self._discover_at = self._clock.monotonic() + self._discover_s
        if self._turn in self._generations.homes and (found := self._lines_of(self._turn)):
            self._turn = self._generations.next_home(self._turn)
            if isinstance(found, Rejected):
                return WithRejected([""], {0: found})
            return self._form.batch(*found)
        turn = self._generations.next_home(self._turn)
        if turn == self._turn:
            return None
        self._turn = turn
        return []  # so that the position names the file before its rows are given

    def position(self) -> dict[str, Any]:
        return {"turn": self._turn, **self._generations.dump()}

    def close(self) -> None:
        self._generations.close()

    def _lines_of(self, home: str) -> Found | None:
        """The next lines of the oldest generation that has some; those read to their end are dropped."""
        generations = self._generations.homes[home]
        while generations:
            final = _is_final(generations)
            try:
                if found := generations[0].next_lines(final=final):
                    return (*found, generations[0].path)
            except Replaced:
                self._generations.replace(home, 0)
                continue
            except SourceDamaged as damage:
                if self._is_in_the_making(generations[0]):
                    return None
                return self._skipped(generations, damage)
            if not final:
                return None
            self._generations.retire(generations.pop(0))
        del self._generations.homes[home]
        return None

    def _is_in_the_making(self, file: FollowedFile) -> bool:
        """True: a packed file that breaks off, and may be written to its end yet."""
        found = file.stat()
        return file.is_packed and not self._settling.is_settled(file.inode, found.st_size, found.st_mtime_ns)

    def _skipped(self, generations: list[FollowedFile], damage: SourceDamaged) -> Rejected:
        """The rest of a damaged file as one row that failed. Raises `damage` where none may be skipped."""
        if not self._skips_damaged:
            raise damage
        file = generations.pop(0)
        self._log.warning("%s; the rest of it is skipped", damage.told)
        self._generations.retire(file)
        return Rejected(file.path, f"{damage.told}; the rest of it is skipped")


def _is_final(generations: list[FollowedFile]) -> bool:
    """True: nobody will write to the oldest one any more: a successor has content, or it is packed or a copy."""
    first = generations[0]
    if first.complete or first.stat().st_nlink == 0:
        return True
    return any(later.stat().st_size for later in generations[1:])
