"""A shelf of accumulators by slice of time and key, as windows have them (`operators/windowed`).

An accumulator is a list that knows its stamp, group, slice and key: there is no entry beside it, since most of a
window's time is spent on making them. A slice that is complete leaves the log in one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from penstock.channel.codec import Codec
from penstock.channel.router import group_of_key
from penstock.operators.keyed_state import GONE, StateNotEncoded
from penstock.operators.undo_log import UndoLog
from penstock.operators.windowed.slice_shelf import END, GROUP, KEY, STAMP, Accumulator, TouchedAccumulators
from penstock.plan.membership import KEY_GROUPS
from penstock.slot.state.bands import ALL_BANDS, band_of
from penstock.slot.state.change import Change, ChangeCodec, Columns, Op
from penstock.slot.state.shelf import Beyond, Cold
from penstock.slot.state.shelf_name import ShelfName

_CACHED_KEYS: Final = 65536
_MOST_GONE: Final = 10_000
"""So many accumulators that are gone may be held in the lists of groups, beyond as many as are there."""
_TIDIED_AT_ONCE: Final = 16
_encode: Final = msgspec.msgpack.Encoder().encode


class SliceShelf:
    """As `slice_shelf.SliceShelf` says."""

    kind: Final = "slices"

    def __init__(self, name: ShelfName, type: Any, undo: UndoLog, cold: Cold, *, copies: bool) -> None:
        """As for other shelves. Accumulators bring their keys along, so their own type is of no use to the codec."""
        self.name = name
        self.codec: ChangeCodec = AccumulatorCodec(str(name), Any)
        self.migrate: Callable[[Any], Any] | None = None
        self.stored: Beyond | None = None
        self.slices: dict[int, dict[Any, Accumulator]] = {}
        self.members: list[list[Accumulator]] = [[] for _ in range(KEY_GROUPS)]
        self.touched = TouchedAccumulators([band_of(group) for group in range(KEY_GROUPS)])
        self.cold = cold.groups
        self._load = cold.load
        self._taken_out: dict[int, list[Accumulator]] = {}
        """By slice."""
        self._dropped: list[int] = []
        self._in_log = set[int]()
        """Slices of which something was logged."""
        self.groups: dict[Any, int] = {}
        """Of keys that are text: equal keys of other types need not be of one type."""
        self._gone = 0
        """Accumulators that are gone and still among `members`."""
        self._tidied = 0
        """The group that is tidied next."""

    # What calls ask.

    def group_of(self, key: Any) -> int:
        group = self.groups.get(key) if key.__class__ is str else None
        if group is None:
            group = group_of_key(key)
            if key.__class__ is str:
                if len(self.groups) >= _CACHED_KEYS:
                    self.groups.clear()
                self.groups[key] = group
        return group

    def find(self, end: int, key: Any) -> Accumulator | None:
        group = self.group_of(key)
        if group in self.cold:
            self._load(group)
        return self.slices.get(end, {}).get(key)

    def open(self, end: int) -> dict[Any, Accumulator]:
        return self.slices.setdefault(end, {})

    def take_out(self, accumulator: Accumulator) -> None:
        taken = self._taken_out.get(accumulator[END])
        if taken is None:
            taken = self._taken_out[accumulator[END]] = []
        taken.append(accumulator)
        accumulator[STAMP] = GONE
        self._gone += 1

    def drop(self, end: int) -> None:
        for accumulator in self.slices.pop(end, {}).values():
            if accumulator[STAMP] != GONE:
                self.take_out(accumulator)
        self._dropped.append(end)

    def load_all(self) -> None:
        for group in sorted(self.cold):
            self._load(group)

    # What the room calls.

    def changes(self) -> Iterator[tuple[int, Change]]:
        dropped = set(self._dropped) - set(self.slices)
        for end in sorted(dropped & self._in_log):
            yield ALL_BANDS, Change(Op.CLOSE, b"", [], at=end)
        taken_out = [a for end, taken in self._taken_out.items() if end not in dropped for a in taken]
        gone = [a for a in taken_out if self._is_gone(a[END], a[KEY])]
        for (band, end), taken in _by_place(gone).items():
            yield band, Change(Op.REMOVE, _groups(taken), [a[KEY] for a in taken], at=end)
        if self._taken_out:
            for written in self.touched.bands:
                written[:] = [a for a in written if a[STAMP] != GONE]
        self._in_log.update(self.slices)
        for band, written in enumerate(self.touched.bands):
            if written:
                yield band, Change(Op.SET, b"", [], written)

    def _is_gone(self, end: int, key: Any) -> bool:
        """False: the key came again."""
        found = self.slices.get(end, {}).get(key)
        return found is None or found[STAMP] == GONE

    def logged(self) -> None:
        self._in_log.difference_update(set(self._dropped) - set(self.slices))
        self.touched.logged()
        self._taken_out, self._dropped = {}, []
        if self._gone > _MOST_GONE and self._gone > sum(map(len, self.slices.values())):
            for _ in range(_TIDIED_AT_ONCE):
                self._tidy(self._tidied)
                self._tidied = (self._tidied + 1) % KEY_GROUPS

    def _tidy(self, group: int) -> list[Accumulator]:
        """The accumulators of a group, without those that are gone."""
        before = self.members[group]
        there = self.members[group] = [a for a in before if a[STAMP] != GONE]
        self._gone -= len(before) - len(there)
        return there

    def snapshot(self, group: int) -> list[Change]:
        there = self._tidy(group)
        self._in_log.update(self.slices)
        return [Change(Op.SET, b"", [], there)] if there else []

    def load(self, group: int, changes: Iterable[Change]) -> None:
        found: dict[int, dict[Any, Accumulator]] = {}
        for change in changes:
            match change.op:
                case Op.SET:
                    for accumulator in change.values:
                        end = accumulator[END]
                        of_slice = found.get(end)
                        if of_slice is None:
                            self._in_log.add(end)
                            of_slice = found[end] = {}
                        of_slice[accumulator[KEY]] = accumulator
                case Op.REMOVE:
                    for key in change.keys:
                        found.get(change.at, {}).pop(key, None)
                case _:
                    self._in_log.discard(change.at)
                    found.pop(change.at, None)
        self.members[group] = []
        for end, accumulators in found.items():
            if accumulators:
                for accumulator in accumulators.values():
                    accumulator[STAMP] = 0
                self.members[group] += accumulators.values()
                self.open(end).update(accumulators)


class AccumulatorCodec(ChangeCodec):
    """Accumulators bring their keys, groups and slices along."""

    def __init__(self, where: str, type: Any) -> None:
        super().__init__(where, type)
        self._nothing = self._keys.encode([])

    def encode(self, shelf: int, change: Change) -> Columns:
        if change.op == Op.SET and _are_scalars(change.values):
            try:
                values = Codec.PLAIN, _encode(change.values)
            except (OverflowError, UnicodeEncodeError):  # beyond 64 bits, a lone surrogate
                pass
            else:
                return Columns(shelf, change.op, change.at, change.groups, self._nothing, values, self._nothing)
        return super().encode(shelf, change)

    def decode(self, columns: Columns) -> Change:
        change = super().decode(columns)
        if change.op == Op.SET:
            change.groups = _groups(change.values)
        return change

    def _found(self, change: Change, error: BaseException) -> StateNotEncoded:
        keys = change.keys or [accumulator[KEY] for accumulator in change.values]
        return super()._found(Change(change.op, change.groups, keys, change.values), error)


def _by_place(accumulators: Iterable[Accumulator]) -> dict[tuple[int, int], list[Accumulator]]:
    """By band and slice, in their order."""
    places: dict[tuple[int, int], list[Accumulator]] = {}
    for accumulator in accumulators:
        place = band_of(accumulator[GROUP]), accumulator[END]
        found = places.get(place)
        if found is None:
            places[place] = [accumulator]
        else:
            found.append(accumulator)
    return places


def _are_scalars(accumulators: list[Any]) -> bool:
    """True: msgpack gives keys and places back as they were. A plain loop, for it is compiled."""
    for each in accumulators:
        accumulator: list[Any] = each
        for place in range(KEY, len(accumulator)):
            kind = type(accumulator[place])
            if kind is str or kind is int or kind is float:
                continue
            if kind is not bool and kind is not bytes and accumulator[place] is not None:
                return False
    return True


def _groups(accumulators: Iterable[Accumulator]) -> bytes:
    return bytes([accumulator[GROUP] for accumulator in accumulators])
