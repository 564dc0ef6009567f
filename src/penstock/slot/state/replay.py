"""What a life finds in the changelog: taken in as it stands there, and decoded when a group of keys is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from penstock.errors import QueueDamaged
from penstock.plan.membership import KEY_GROUPS
from penstock.slot.process.stops import StageFailed
from penstock.slot.process.user_errors import one_line
from penstock.slot.state.bands import ALL_BANDS, BANDS, band_of, groups_of
from penstock.slot.state.change import Change, ChangeCodec, Columns, Op
from penstock.slot.state.changelog import WHAT, Changelog
from penstock.slot.state.frames import FORMAT, Band, Catalogue, Part, Snapshot, changes_of, decode_body
from penstock.slot.state.shelf import Shelf
from penstock.slot.state.shelf_name import ShelfName

_ALL: Final = frozenset(range(KEY_GROUPS))
_REMEDY = "run the code that wrote it, give `migrate` where the verb has it, or begin again with --fresh"


class _Meant(msgspec.Struct, frozen=True):
    """The shelf that a number of a catalogue means."""

    number: int
    migrates: bool
    """True: the values are of another type."""


class _Placed(msgspec.Struct, frozen=True):
    """A frame, the place in which it stands, and which shelves its numbers mean."""

    place: int
    body: Band | Snapshot
    meant: list[_Meant]
    counted: frozenset[int]
    """The key groups of which it counts."""


class Replay:
    """The content of one changelog, for the shelves of this life."""

    def __init__(self, log: Changelog, shelves: Sequence[Shelf], now_ns: Callable[[], int]) -> None:
        """Raises `QueueDamaged`, and `StageFailed` where the log has the state of other shelves than these."""
        self._shelves = shelves
        self._now_ns = now_ns
        self.catalogue: list[ShelfName] | None = None
        """The last one."""
        self._bands: dict[int, list[_Placed]] = {}
        """The changes of each band, in order."""
        self._snapshots: dict[int, _Placed] = {}
        """The last one of each group."""
        self._opened: dict[int, dict[int, list[tuple[int, int, Change]]]] = {}
        """Of bands that were decoded, (place, shelf, change) by the group."""
        self.frames = 0
        """Of changes: what stands behind a snapshot."""
        self.length = 0
        """Their bytes."""
        self.migrates = False
        """True: something of it is of another type."""
        self.spent_s = 0.0
        """On decoding them, so far."""
        meant: list[_Meant] = []
        counted = _ALL
        for place, (path, offset, data) in enumerate(log.bodies()):
            try:
                body = decode_body(data)
            except msgspec.MsgspecError as exc:
                raise QueueDamaged(path, f"{WHAT}: the frame at {offset} cannot be read: {exc}") from exc
            match body:
                case Catalogue():
                    meant = self._meaning(body)
                case Part():
                    counted = frozenset(body.groups) if body.groups else _ALL
                case Snapshot():
                    if body.group in counted:
                        self._snapshots[body.group] = _Placed(place, body, meant, counted)
                case Band():
                    self.frames += 1
                    self.length += len(data)
                    for band in range(BANDS) if body.band == ALL_BANDS else (body.band,):
                        self._bands.setdefault(band, []).append(_Placed(place, body, meant, counted))

    def _meaning(self, catalogue: Catalogue) -> list[_Meant]:
        """Which shelves the numbers of a catalogue mean."""
        stage = self._shelves[0].name.stage if self._shelves else ""
        if catalogue.format != FORMAT:
            raise StageFailed(
                stage, f"the state has format {catalogue.format}, and this version of penstock reads format {FORMAT}: "
                "finish the run with the version that began it"
            )
        self.catalogue = catalogue.shelves
        known = {_place_of(shelf.name): number for number, shelf in enumerate(self._shelves)}
        meant = []
        for was in catalogue.shelves:
            number = known.get(_place_of(was))
            if number is None:
                raise StageFailed(was.stage, f"the run has state of {was}, which is gone; {_REMEDY}")
            now, migrate = self._shelves[number].name, self._shelves[number].migrate
            migrates = now.kind == was.kind and now.type != was.type and migrate is not None
            if now != was and not migrates:
                before, after = (was.kind, now.kind) if was.kind != now.kind else (was.type, now.type)
                raise StageFailed(was.stage, f"the state of {was} changed from {before} to {after}; {_REMEDY}")
            self.migrates = self.migrates or migrates
            meant.append(_Meant(number, migrates))
        return meant

    @property
    def groups(self) -> set[int]:
        """Those of which something may be found."""
        return {*self._snapshots, *(group for band in self._bands for group in groups_of(band))}

    def found(self, group: int) -> dict[int, list[Change]]:
        """What is found of a group, by the number of the shelf. Raises `StageFailed` for what cannot be decoded."""
        band = band_of(group)
        opened = self._opened.get(band)
        if opened is None:
            opened = self._opened[band] = self._open(band)
        found: dict[int, list[Change]] = {}
        snapshot = self._snapshots.get(group)
        if snapshot is not None:
            for shelf, change in self._decoded(snapshot):
                found.setdefault(shelf, []).append(change)
        begin = -1 if snapshot is None else snapshot.place
        for place, shelf, change in opened.get(group, ()):
            if place > begin:
                found.setdefault(shelf, []).append(change)
        return found

    def nearest(self, groups: set[int]) -> int:
        """The group that is read soonest: of a band that is decoded already, if there is one."""
        opened = (group for band in self._opened for group in groups_of(band) if group in groups)
        return next(opened, min(groups))

    def forget(self, group: int) -> None:
        """It is not asked for again."""
        self._snapshots.pop(group, None)
        self._opened[band_of(group)].pop(group, None)

    def _open(self, band: int) -> dict[int, list[tuple[int, int, Change]]]:
        began = self._now_ns()
        opened: dict[int, list[tuple[int, int, Change]]] = {group: [] for group in groups_of(band)}
        # What stands before the snapshots of all of its groups is in them.
        begin = min(self._snapshots[group].place if group in self._snapshots else -1 for group in groups_of(band))
        for placed in self._bands.get(band, ()):
            if placed.place < begin:
                continue
            for shelf, change in self._decoded(placed):
                if change.op == Op.CLOSE:
                    for group in placed.counted.intersection(opened):
                        opened[group].append((placed.place, shelf, change))
                    continue
                for group, part in change.by_group():
                    if group in placed.counted:
                        opened[group].append((placed.place, shelf, part))
        self._bands.pop(band, None)
        self.spent_s += (self._now_ns() - began) / 1e9
        return opened

    def _decoded(self, placed: _Placed) -> Iterator[tuple[int, Change]]:
        """(number of the shelf, change) of a frame."""
        for columns in changes_of(placed.body):
            meant = placed.meant[columns.shelf]
            shelf = self._shelves[meant.number]
            try:
                yield meant.number, _migrated(shelf, columns) if meant.migrates else shelf.codec.decode(columns)
            except Exception as exc:  # decoding runs code of the values' classes, and so may `migrate`
                raise StageFailed(
                    shelf.name.stage, f"the state of {shelf.name} cannot be read: {one_line(exc)}; {_REMEDY}"
                ) from exc


def _migrated(shelf: Shelf, columns: Columns) -> Change:
    assert shelf.migrate is not None
    change = ChangeCodec(str(shelf.name), Any).decode(columns)
    change.values = [shelf.migrate(value) for value in change.values]
    return change


def _place_of(name: ShelfName) -> tuple[str, str, str]:
    return name.stage, name.operator, name.name
