"""What a life finds in the changelog: where its frames stand, which are read when a group of keys is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import islice
from typing import Any, Final, TypeAlias

import msgspec

from penstock.errors import FileUnusable, QueueDamaged
from penstock.operators.keyed_state import BANDS
from penstock.plan.membership import KEY_GROUPS
from penstock.slot.process.stops import StageFailed
from penstock.slot.process.user_errors import one_line
from penstock.slot.records.committed_log import CommittedLog
from penstock.slot.state.applied import LogPlace
from penstock.slot.state.bands import ALL_BANDS, COLUMNS_BAND, COLUMNS_GROUP, band_of, groups_of
from penstock.slot.state.change import Change, ChangeCodec, Columns
from penstock.slot.state.changelog import WHAT, Changelog, Segment
from penstock.slot.state.dealt import Dealt
from penstock.slot.state.frames import (
    BAND,
    FORMAT,
    HEAD_BYTES,
    SNAPSHOT,
    Band,
    Body,
    Catalogue,
    Part,
    Snapshot,
    changes_of,
    decode_body,
    kind_of,
)
from penstock.slot.state.rotation import counted_bytes
from penstock.slot.state.shelf import Shelf
from penstock.slot.state.shelf_name import ShelfName

_ALL: Final = frozenset(range(KEY_GROUPS))
_REMEDY = "run the code that wrote it, give `migrate` where the verb has it, or begin again with --fresh"

OfGroups: TypeAlias = dict[int, list[tuple[int, Change]]]
"""(number of the shelf, change) in order, by the group."""


class _Meant(msgspec.Struct, frozen=True):
    """The shelf that a number of a catalogue means."""

    number: int
    migrates: bool
    """True: the values are of another type."""


class _Placed(msgspec.Struct, frozen=True, gc=False):
    """Where a frame stands, its place in the order of all, and which shelves its numbers mean."""

    place: int
    log: CommittedLog
    offset: int
    meant: list[_Meant]
    is_behind: bool
    """True: the store of the slot has not got it."""
    counted: frozenset[int]
    """The key groups of which it counts."""


class Replay:
    """The content of one changelog, for the shelves of this life."""

    def __init__(
        self, log: Changelog, shelves: Sequence[Shelf], now_ns: Callable[[], int], store_has: LogPlace | None = None
    ) -> None:
        """`store_has`: up to where the store of the slot has it; None: there is none, or nothing is in it.

        Raises `QueueDamaged`, and `StageFailed` where the log has the state of other shelves than these.
        """
        self._shelves = shelves
        self._now_ns = now_ns
        self._store_has = store_has
        self._stored = {n for n, shelf in enumerate(shelves) if shelf.stored is not None and store_has is not None}
        """Shelves of which only what is behind that place is read."""
        self.catalogue: list[ShelfName] | None = None
        """The last one."""
        self._bands: dict[int, list[_Placed]] = {}
        """The changes of each band, in order."""
        self._columns: list[_Placed] = []
        """What is in columns, in order: changes, and behind each snapshot of what it has only what came later."""
        self._snapshots: dict[int, _Placed] = {}
        """The last one of each group."""
        self._opened: dict[int, OfGroups] = {}
        """Of bands that were decoded, (shelf, change) by the group."""
        self.frames = 0
        """Of changes: what stands behind a snapshot."""
        self.length = 0
        """Their bytes."""
        self.migrates = False
        """True: something of it is of another type."""
        self.spent_s = 0.0
        """On decoding them, so far."""
        self._segments: list[CommittedLog] = []
        try:
            self._index(log)
        except BaseException:
            self.close()
            raise

    def _index(self, log: Changelog) -> None:
        """Only the beginnings of frames are read: for the rest there is time."""
        meant, counted, place = list[_Meant](), _ALL, 0
        for segment in log.segments():
            self._segments.append(segment.log)
            for offset, length, head in self._heads(segment):
                place += 1
                tag, number = kind_of(head)
                placed = _Placed(place, segment.log, offset, meant, self._is_behind(segment.number, offset), counted)
                if tag == SNAPSHOT and number == COLUMNS_GROUP:
                    self._columns = [one for one in self._columns if not one.counted <= counted]
                    self._columns.append(placed)
                elif tag == BAND and number == COLUMNS_BAND:
                    self.frames += 1
                    self.length += counted_bytes(number, length)
                    self._columns.append(placed)
                elif tag == BAND:
                    self.frames += 1
                    self.length += length
                    for band in range(BANDS) if number == ALL_BANDS else (number,):
                        self._bands.setdefault(band, []).append(placed)
                elif tag == SNAPSHOT:
                    if number in counted:
                        self._snapshots[number] = placed
                else:
                    body = body_of(segment.log, offset)
                    if isinstance(body, Part):
                        counted = frozenset(body.groups) if body.groups else _ALL
                    else:
                        assert isinstance(body, Catalogue)
                        meant = self._meaning(body)
        if self._needs_only_the_tail:
            self._snapshots = {}

    @property
    def _needs_only_the_tail(self) -> bool:
        return self._store_has is not None and len(self._stored) == len(self._shelves)

    def _is_behind(self, segment: int, offset: int) -> bool:
        place = self._store_has
        return place is None or (segment, offset) >= (place.segment, place.offset)

    def _heads(self, segment: Segment) -> Iterator[tuple[int, int, bytes]]:
        """Those of the frames that are needed. A segment begins with its catalogue."""
        place, heads = self._store_has, segment.log.heads(HEAD_BYTES)
        if place is None or not self._needs_only_the_tail or segment.number > place.segment:
            yield from heads
            return
        yield from islice(heads, 1)
        if segment.number == place.segment:
            yield from segment.log.heads(HEAD_BYTES, place.offset)

    def close(self) -> None:
        """Nothing more is asked for."""
        for segment in self._segments:
            segment.close()
        self._segments = []

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
        columns = {COLUMNS_GROUP} if self._columns else set[int]()
        return {*self._snapshots, *(group for band in self._bands for group in groups_of(band)), *columns}

    def found(self, group: int) -> dict[int, list[Change]]:
        """What is found of a group, by the number of the shelf. Raises `StageFailed` for what cannot be decoded."""
        if group == COLUMNS_GROUP:
            return self._found_columns()
        band = band_of(group)
        opened = self._opened.get(band)
        if opened is None:
            opened = self._opened[band] = self._open(band)
        found: dict[int, list[Change]] = {}
        snapshot = self._snapshots.get(group)
        if snapshot is not None:
            for shelf, change in self._decoded(snapshot, leaves_out=self._stored):
                found.setdefault(shelf, []).append(change)
        for shelf, change in opened.get(group, ()):
            found.setdefault(shelf, []).append(change)
        return found

    def _found_columns(self) -> dict[int, list[Change]]:
        """Each change says in `groups` which ones of its keys count; empty: all of them."""
        found: dict[int, list[Change]] = {}
        for placed in self._columns:
            groups = b"" if placed.counted is _ALL else bytes(sorted(placed.counted))
            for shelf, change in self._decoded(placed, leaves_out=frozenset()):
                of_both = bytes(group for group in change.groups if group in placed.counted)
                if change.groups and not of_both:
                    continue
                change.groups = of_both or groups
                found.setdefault(shelf, []).append(change)
        return found

    def nearest(self, groups: set[int]) -> int:
        """The group that is read soonest: of a band that is decoded already, if there is one."""
        opened = (group for band in self._opened for group in groups_of(band) if group in groups)
        return next(opened, min(groups))

    def forget(self, group: int) -> None:
        """It is not asked for again."""
        if group == COLUMNS_GROUP:
            self._columns = []
            return
        self._snapshots.pop(group, None)
        self._opened[band_of(group)].pop(group, None)

    def _open(self, band: int) -> OfGroups:
        began = self._now_ns()
        groups = groups_of(band)
        # What stands before the snapshot of a group is in it.
        begins = [self._snapshots[group].place if group in self._snapshots else -1 for group in groups]
        first, dealt = min(begins), Dealt()
        for placed in self._bands.pop(band, ()):
            leaves_out = frozenset[int]() if placed.is_behind else self._stored
            if placed.place > first or len(leaves_out) < len(self._stored):
                # Snapshots are nothing to what the store has: each change since then counts.
                mine = [group in placed.counted for group in groups]
                counts = [own and placed.place > begin for own, begin in zip(mine, begins)]
                for shelf, change in self._decoded(placed, leaves_out):
                    dealt.add(shelf, change, mine if shelf in self._stored else counts)
        opened = dict(zip(groups, dealt.all()))
        self.spent_s += (self._now_ns() - began) / 1e9
        return opened

    def _decoded(self, placed: _Placed, leaves_out: Set[int]) -> Iterator[tuple[int, Change]]:
        """(number of the shelf, change) of a frame."""
        try:
            body = body_of(placed.log, placed.offset)
        except (QueueDamaged, FileUnusable) as damage:  # it may be a row that asks for it, and is not to blame
            stage = self._shelves[0].name.stage if self._shelves else ""
            raise StageFailed(stage, f"{damage}; {_REMEDY}") from damage
        assert isinstance(body, Band | Snapshot)
        for columns in changes_of(body):
            meant = placed.meant[columns.shelf]
            if meant.number in leaves_out:
                continue
            shelf = self._shelves[meant.number]
            try:
                yield meant.number, _migrated(shelf, columns) if meant.migrates else shelf.codec.decode(columns)
            except Exception as exc:  # decoding runs code of the values' classes, and so may `migrate`
                raise StageFailed(
                    shelf.name.stage, f"the state of {shelf.name} cannot be read: {one_line(exc)}; {_REMEDY}"
                ) from exc


def body_of(log: CommittedLog, offset: int) -> Body:
    """What a frame of a segment says. Raises `QueueDamaged`."""
    data = log.body_of(offset)
    try:
        body: Body = decode_body(data)
    except msgspec.MsgspecError as exc:
        raise QueueDamaged(log.path, f"{WHAT}: the frame at {offset} cannot be read: {exc}") from exc
    return body


def _migrated(shelf: Shelf, columns: Columns) -> Change:
    assert shelf.migrate is not None
    change = ChangeCodec(str(shelf.name), Any).decode(columns)
    change.values = [shelf.migrate(value) for value in change.values]
    return change


def _place_of(name: ShelfName) -> tuple[str, str, str]:
    return name.stage, name.operator, name.name
