"""The state of all keyed stages of a slot: their shelves, the log under them, and its part in the slot's commits.

Each commit adds what was written since the last one. A life begins with empty shelves and the log; a group of keys is
read when one of its keys is asked for, or by and by (`warm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.byte_files import DISK, Files
from penstock.operators.keyed_state import BEGINNING_OF_TIME
from penstock.operators.undo_log import UndoLog
from penstock.plan.fingerprint import described_type
from penstock.slot.state.change import Columns
from penstock.slot.state.changelog import Changelog
from penstock.slot.state.frames import FORMAT, Catalogue, band_of_changes, encode_body
from penstock.slot.state.replay import Replay
from penstock.slot.state.shelf import Cold, Shelf, ShelfName
from penstock.slot.state.values import VALUES, ValueShelf


class StageShelves:
    """The state of one stage."""

    def __init__(self, stage: str, room: SlotState) -> None:
        self.stage = stage
        self.room = room
        self.undo = UndoLog()
        self.watermark_us = BEGINNING_OF_TIME
        self._operators: dict[str, int] = {}

    def encode(self) -> None:
        """As `SlotState.encode`; in one turn only one stage of a slot writes."""
        self.room.encode()

    def of(self, verb: str) -> OperatorState:
        """The state of the next operator of this verb."""
        count = self._operators[verb] = self._operators.get(verb, 0) + 1
        return OperatorState(self, verb if count == 1 else f"{verb}#{count}")


class OperatorState:
    """As `keyed_state.StageState` says: the shelves of one operator."""

    def __init__(self, stage: StageShelves, operator: str) -> None:
        self._stage = stage
        self._operator = operator

    @property
    def watermark_us(self) -> int:
        return self._stage.watermark_us

    def values(self, name: str, type: Any = Any) -> ValueShelf:
        room = self._stage.room
        shelf = ValueShelf(self._named(name, VALUES, type), type, self._stage.undo, room.cold, copies=room.copies)
        room.add(shelf)
        return shelf

    def _named(self, name: str, kind: str, type: Any) -> ShelfName:
        return ShelfName(self._stage.stage, self._operator, name, kind, described_type(type))


class SlotState:
    """The room. Takes part in commits once it is open; without a log it is in memory only."""

    def __init__(self, *, copies: bool = False) -> None:
        """`copies`: of `ValueShelf`."""
        self.copies = copies
        self.cold = Cold(self._load)
        self._stages: dict[str, StageShelves] = {}
        self._shelves: list[Shelf] = []
        self._log: Changelog | None = None
        self._replay: Replay | None = None

    def stage(self, name: str) -> StageShelves:
        """The state of a stage."""
        found = self._stages.get(name)
        if found is None:
            found = self._stages[name] = StageShelves(name, self)
        return found

    def add(self, shelf: Shelf) -> None:
        """A shelf is asked for, before the room is open."""
        assert self._log is None
        self._shelves.append(shelf)

    @property
    def keeps_anything(self) -> bool:
        """True: there are shelves."""
        return bool(self._shelves)

    # A life begins and ends.

    def open(self, base: Path, committed: Sequence[int], files: Files = DISK) -> None:
        """Begin with what the record says, which `flush` gave.

        Raises `QueueDamaged`, and `StageFailed` where it is not the state of these shelves.
        """
        log = Changelog(base, committed, files)
        try:
            replay = Replay(log, self._shelves)
        except BaseException:
            log.close()
            raise
        self._replay = replay
        self.cold.groups.update(replay.groups)
        names = [shelf.name for shelf in self._shelves]
        if replay.catalogue != names:
            if not log.is_new:
                log.begin_segment()
            log.append(encode_body(Catalogue(FORMAT, names)))
        self._log = log

    def close(self) -> None:
        if self._log is not None:
            self._log.close()

    def _load(self, group: int) -> None:
        """Read a group of keys into the shelves."""
        try:
            self._fill(group)
        except BaseException:
            # The time-out of the row that asked for it, most of the time. Half a group would be taken for all of it.
            self._fill(group)
            raise

    def _fill(self, group: int) -> None:
        assert self._replay is not None
        for number, changes in self._replay.found(group).items():
            self._shelves[number].load(group, changes)
        self.cold.groups.discard(group)
        self._replay.forget(group)

    # Commits.

    def encode(self) -> None:
        """Log what was written since the last time. Raises `StateNotEncoded` for a value that cannot be stored."""
        bands: dict[int, list[Columns]] = {}
        for number, shelf in enumerate(self._shelves):
            for band, change in shelf.changes():
                bands.setdefault(band, []).append(shelf.codec.encode(number, change))
        for shelf in self._shelves:
            shelf.logged()
        if self._log is not None:
            for band, changes in bands.items():
                self._log.append(encode_body(band_of_changes(band, changes)))

    def flush(self) -> list[int]:
        """As `committed_log.Participant` says."""
        assert self._log is not None
        self.encode()
        return self._log.flush()
