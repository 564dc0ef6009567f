"""How far the store of a slot has come in the changelog, and the step that brings it further: always after a commit.

What it has, and up to which place in the log, stand in one batch. So a life that finds it reads the log from there on;
where that place is not in the log any more, or not in this log, the store is made anew from all of the log.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from penstock.slot.state.changelog import Changelog
from penstock.slot.state.store import Store
from penstock.slot.state.stored import Stored

_PLACE: Final = b"\0place"
_CHECKED_BYTES: Final = 64


class LogPlace(msgspec.Struct, frozen=True, array_like=True):
    """A place between two frames of a changelog."""

    segment: int
    offset: int
    before: bytes
    """The bytes that stand before it: another log, which took the place of this one, has others."""
    shelves: list[bytes]
    """What the store has up to there."""


_decode = msgspec.msgpack.Decoder(LogPlace).decode
_encode = msgspec.msgpack.Encoder().encode


class AppliedStore:
    """The store of one slot, for the shelves that use it."""

    def __init__(self, folder: Path, opened: Callable[[Path], Store]) -> None:
        """`opened`: opens the store in a folder, or makes one."""
        self._folder = folder
        self._opened = opened
        is_new = not folder.exists()
        self.store = opened(folder)
        self._is_empty = is_new
        self._stored: list[Stored] = []
        self.place: LogPlace | None = None
        """Of what the store has; None: it is being made."""

    def add(self, stored: Stored) -> None:
        """Another shelf uses it."""
        self._stored.append(stored)

    def begin(self, log: Changelog) -> LogPlace | None:
        """From where on the log is to be read; None: from its beginning, into an empty store."""
        there = self.store.get(_PLACE)
        place = None if there is None else _decode(there)
        if place is not None and self._fits(place, log):
            self.place = place
        elif not self._is_empty:
            self.make_anew()
        return self.place

    def _fits(self, place: LogPlace, log: Changelog) -> bool:
        """True: it is a place of this log, and up to there the store has what it should."""
        before = log.bytes_before(place.segment, place.offset, _CHECKED_BYTES)
        return before == place.before and set(place.shelves) >= {stored.prefix for stored in self._stored}

    def make_anew(self) -> None:
        """Forget what it has."""
        self.store.close()
        shutil.rmtree(self._folder)
        self.store = self._opened(self._folder)
        for stored in self._stored:
            stored.store = self.store
        self.place = None

    def read(self) -> None:
        """A part of the log was read: a store that is being made gets it, if it is too much to be kept waiting.

        One that has its place gets nothing before all is read: what is behind the place is read from there, once.
        """
        if self.place is None and self._is_due():
            self._write([])

    def committed(self, log: Changelog, numbers: Sequence[int], *, at_once: bool) -> None:
        """A record is committed that has these numbers of the log, and all that they cover is known here."""
        if at_once or self._is_due():
            segment, offset = numbers[0] + len(numbers) - 2, numbers[-1]
            before = log.bytes_before(segment, offset, _CHECKED_BYTES)
            assert before is not None
            self.place = LogPlace(segment, offset, before, [stored.prefix for stored in self._stored])
            self._write([(_PLACE, _encode(self.place))])
        for stored in self._stored:
            stored.let_go()

    def _is_due(self) -> bool:
        return any(stored.is_full for stored in self._stored)

    def _write(self, more: list[tuple[bytes, bytes | None]]) -> None:
        self.store.write([*(each for stored in self._stored for each in stored.records()), *more])
        for stored in self._stored:
            stored.changed = {}
            stored.let_go()

    def is_past(self, segment: int) -> bool:
        """True: nothing before this segment of the log is needed for it any more."""
        return self.place is not None and self.place.segment >= segment

    def close(self) -> None:
        self.store.close()
