"""The state of all keyed stages of a slot: their shelves, the log under them, and its part in the slot's commits.

Each commit logs what was written since the last one (`encode`). A life begins with empty shelves and the log; a group
of keys is read when one of its keys is asked for, or by and by (`committed`). Now and then the log is rewritten,
group by group, and the segments before it are removed (`rotation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from penstock.byte_files import DISK, Files
from penstock.plan.membership import KEY_GROUPS
from penstock.slot.state.applied import AppliedStore, LogPlace
from penstock.slot.state.bands import COLUMNS_GROUP
from penstock.slot.state.change import Columns
from penstock.slot.state.changelog import Changelog
from penstock.slot.state.columns import ColumnShelf
from penstock.slot.state.frames import FORMAT, Catalogue, band_of_changes, encode_body, snapshot_of
from penstock.slot.state.replay import Replay
from penstock.slot.state.rotation import BUDGET_S, Rotation, counted_bytes
from penstock.slot.state.shelf import Cold, Shelf
from penstock.slot.state.stage_shelves import StageShelves
from penstock.slot.state.store import RocksStore, Store
from penstock.slot.state.stored import Stored
from penstock.slot.state.values import ByKey
from penstock.slot.time_and_chance import MACHINE, Clock

_WARMING_S: Final = 0.008
"""After a commit, groups are read for about so long."""


class SlotState:
    """The room. Takes part in commits once it is open; without a log it is in memory only."""

    def __init__(
        self, *, copies: bool = False, clock: Clock = MACHINE, caches: Mapping[str, int] | None = None,
        store: Callable[[Path, int], Store] = RocksStore,
    ) -> None:
        """`copies`: of `EngineShelf`. `caches`: stages that do not keep all in memory, but so many bytes.

        `store`: opens the store of these in a folder, with memory of its own.
        """
        self.copies = copies
        self.cold = Cold(self._load)
        self._now_ns = clock.now_ns
        self._wall_ns = clock.wall_ns
        self._stages: dict[str, StageShelves] = {}
        self._shelves: list[Shelf] = []
        self._log: Changelog | None = None
        self._replay: Replay | None = None
        self._rotation = Rotation()
        self._migrates = False
        """True: the log has values of another type, to be rewritten with the next commit."""
        self._caches = {} if caches is None else caches
        self._open_store = store
        self._in_memory: set[Shelf] = set()
        """Shelves that are in memory whatever the stage says."""
        self._applied: AppliedStore | None = None
        """Where a stage does not keep all in memory."""
        self._numbers: list[int] = []
        """What `flush` gave last."""
        self._not_named: list[Path] = []
        """Segments that the next record does not name."""

    def stage(self, name: str) -> StageShelves:
        """The state of a stage."""
        found = self._stages.get(name)
        if found is None:
            found = self._stages[name] = StageShelves(name, self)
        return found

    def add(self, shelf: Shelf, *, in_memory: bool = False) -> None:
        """A shelf is asked for, before the room is open."""
        assert self._log is None
        self._shelves.append(shelf)
        if in_memory:
            self._in_memory.add(shelf)

    def now_us(self) -> int:
        """The clock on the wall."""
        return self._wall_ns() // 1000

    # A life begins and ends.

    def open(
        self, base: Path, committed: Sequence[int], files: Files = DISK, pinned: Callable[[], bool] = lambda: False,
        store: Path | None = None,
    ) -> None:
        """Begin with what the record says, which `flush` gave. `pinned`: as `Changelog`.

        `store`: the folder of what stages do not keep in memory; None: there is no disk, so all is in memory.

        Raises `QueueDamaged`, and `StageFailed` where it is not the state of these shelves.
        """
        log = Changelog(base, committed, files, pinned)
        try:
            place = None if store is None else self._begin_store(store, log)
            self._replay = Replay(log, self._shelves, self._now_ns, place)
            if self._replay.migrates and place is not None:  # what the store has is of the old type
                assert self._applied is not None
                self._applied.make_anew()
                self._replay.close()
                self._replay = Replay(log, self._shelves, self._now_ns)
        except BaseException:
            self._close_store()
            log.close()
            raise
        self._migrates = self._replay.migrates
        self.cold.groups.update(self._replay.groups)
        self._rotation.logged(self._replay.frames, self._replay.length)
        self._log = log
        # Behind the place of a store, the catalogue that begins the segment counts.
        begins_store = self._applied is not None and self._applied.place is None
        if begins_store or self._replay.catalogue != self._catalogue().shelves:
            if not log.is_new:
                log.begin_segment()
            self._append(encode_body(self._catalogue()))
        if self._applied is not None:
            for group in sorted(self.cold.groups):  # now, when no row brings many of them into memory at once
                self._load(group)
                self._applied.read()

    def _begin_store(self, folder: Path, log: Changelog) -> LogPlace | None:
        """Open the store, if a stage has one, for its shelves; gives up to where in the log it has them."""
        shelves = [
            shelf for shelf in self._shelves
            if isinstance(shelf, ByKey) and shelf not in self._in_memory and shelf.name.stage in self._caches
        ]
        if not shelves:
            return None
        memory = sum(self._caches[stage] for stage in {shelf.name.stage for shelf in shelves})
        self._applied = AppliedStore(folder, lambda place: self._open_store(place, memory // 2))
        for shelf in shelves:
            shelf.stored = stored = Stored(shelf, self._applied.store, memory // 2 // len(shelves))
            self._applied.add(stored)
        return self._applied.begin(log)

    def _close_store(self) -> None:
        if self._applied is not None:
            self._applied.close()

    def close(self) -> None:
        if self._replay is not None:
            self._replay.close()
        if self._log is not None:
            self._log.close()
        self._close_store()

    def _catalogue(self) -> Catalogue:
        return Catalogue(FORMAT, [shelf.name for shelf in self._shelves])

    def _load(self, group: int) -> None:
        """Read a group of keys into the shelves."""
        try:
            self._fill(group)
        except BaseException:
            # The time-out of the row that asked for it, most of the time. Half a group would be taken for all of it.
            self._fill(group)
            raise

    def _fill(self, group: int) -> None:
        if self._replay is None or group not in self.cold.groups:
            return
        for number, changes in self._replay.found(group).items():
            self._shelves[number].load(group, changes)
        self.cold.groups.discard(group)
        self._replay.forget(group)
        if not self.cold.groups:
            self._rotation.measured(self._replay.length, self._replay.spent_s)
            self._replay.close()
            self._replay = None

    # Commits.

    def encode(self) -> None:
        """Log what was written since the last time. Raises `StateNotEncoded` for a value that cannot be stored."""
        bands: dict[int, list[Columns]] = {}
        for number, shelf in enumerate(self._shelves):
            for band, change in shelf.changes():
                bands.setdefault(band, []).append(shelf.codec.encode(number, change))
        for shelf in self._shelves:
            shelf.logged()
        if self._log is not None and bands:
            # What concerns all bands first: it is about what was there before this commit.
            length = sum(
                counted_bytes(band, self._append(band_of_changes(band, bands[band]))) for band in sorted(bands)
            )
            self._rotation.logged(len(bands), length)

    def flush(self) -> list[int]:
        """As `committed_log.Participant` says."""
        assert self._log is not None
        self.encode()
        if self._migrates:
            self._write_all()
        if self._rotation.is_due(reads=bool(self.cold.groups)):
            self._log.begin_segment()
            self._rotation.begin(self._log.last)
            self._append(encode_body(self._catalogue()))
            self._write_columns()
        if self._rotation.goes_on:
            self._within(BUDGET_S, self._write_group)
        self._numbers = self._log.flush()
        return self._numbers

    def _write_all(self) -> None:
        """Values that were migrated stand in the log in their new form from now on."""
        assert self._log is not None
        self._log.begin_segment()
        self._rotation.begin(self._log.last)
        self._append(encode_body(self._catalogue()))
        self._write_columns()
        while self._write_group():
            pass
        self._migrates = False

    def committed(self, stage: object = None) -> None:
        """The record that `flush` was for is committed; `stage` is the one that was at work."""
        assert self._log is not None
        if self._applied is not None:
            self._applied.committed(self._log, self._numbers, at_once=self._rotation_waits)
        if self._not_named:
            self._log.remove(self._not_named)
            self._not_named = []
        if self.cold.groups:
            self._within(_WARMING_S, self._warm)

    def _append(self, data: bytes) -> int:
        assert self._log is not None
        self._log.append(data)
        return len(data)

    def _within(self, seconds: float, step: Callable[[], bool]) -> None:
        """Do steps until one of them says that it was the last, or until the time is over: one at least."""
        until = self._now_ns() + int(seconds * 1e9)
        while step() and self._now_ns() < until:
            pass

    def _write_group(self) -> bool:
        """Log all of a group; False: it was the last one."""
        assert self._log is not None
        if self._rotation_waits:
            return False
        began, group = self._now_ns(), self._rotation.group
        if group in self.cold.groups:
            self._load(group)
        changes = [
            shelf.codec.encode(number, change)
            for number, shelf in enumerate(self._shelves) if not isinstance(shelf, ColumnShelf)
            for change in shelf.snapshot(group)
        ]
        if changes:
            self._append(snapshot_of(group, changes))
        if not self._rotation.written((self._now_ns() - began) / 1e9):
            return True
        self._not_named += self._log.forget_before(self._rotation.segment)
        return False

    @property
    def _rotation_waits(self) -> bool:
        """True: the older segments are written anew but for a group, and the store still needs them."""
        rotation = self._rotation
        return (
            self._applied is not None and rotation.group == KEY_GROUPS - 1
            and not self._applied.is_past(rotation.segment)
        )

    def _write_columns(self) -> None:
        """All that is in columns, at once."""
        changes = [
            shelf.codec.encode(number, change) for number, shelf in enumerate(self._shelves)
            if isinstance(shelf, ColumnShelf) for change in shelf.snapshot(COLUMNS_GROUP)
        ]
        if changes:
            self._append(snapshot_of(COLUMNS_GROUP, changes))

    def _warm(self) -> bool:
        """Read another group; False: none is left."""
        assert self._replay is not None
        self._load(self._replay.nearest(self.cold.groups))
        return bool(self.cold.groups)
