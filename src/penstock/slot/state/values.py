"""A shelf with one value by key, and the undoing of what a failed row has written there."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any, Final

from penstock.channel.router import group_of_key
from penstock.operators.frozen import is_frozen
from penstock.operators.keyed_state import GONE, Entry, Touched
from penstock.operators.undo_log import UndoLog
from penstock.slot.state.bands import banded
from penstock.slot.state.change import Change, ChangeCodec, Op
from penstock.slot.state.shelf import Cold, ShelfName

VALUES: Final = "values"


class CannotTakeBack(Exception):
    """What a failed row has written cannot be told from what was there: a value was changed in place."""


class ValueShelf:
    """As `keyed_state.Values` says."""

    def __init__(self, name: ShelfName, type: Any, undo: UndoLog, cold: Cold, *, copies: bool) -> None:
        """`copies`: values that can be changed in place are copied before user code gets them (`keep`)."""
        self.name = name
        self.codec = ChangeCodec(str(name), type)
        self.entries: dict[Any, Entry] = {}
        self.touched = Touched()
        self._removed: list[Entry] = []
        """Since they were last logged; some of their keys may have come again."""
        self._undo = undo
        self._cold = cold
        self._copies = copies

    # What operators call.

    def find(self, key: Any) -> Entry | None:
        entry = self.entries.get(key)
        if entry is None and self._cold.groups:
            group = group_of_key(key)
            if group in self._cold.groups:
                self._cold.load(group)
                return self.entries.get(key)
        return entry

    def add(self, key: Any, value: Any) -> Entry:
        entry = Entry(key, value, group_of_key(key))
        self._undo.add((self._take_out, (entry,)))
        self.touched.add(entry)
        self.entries[key] = entry
        return entry

    def keep(self, entry: Entry) -> None:
        value = entry.value
        if self._copies and not is_frozen(value):
            self._undo.add((self._put_back_copy, (entry, pickle.dumps(value, 5))))
        else:
            self._undo.add((self._put_back, (entry, value)))

    def touch(self, entry: Entry) -> None:
        if entry.stamp != self.touched.turn:
            self.touched.add(entry)

    def remove(self, entry: Entry) -> None:
        self._undo.add((self._bring_back, (entry,)))
        self._removed.append(entry)
        entry.stamp = GONE
        self.entries.pop(entry.key, None)

    def all(self) -> list[Entry]:
        for group in sorted(self._cold.groups):
            self._cold.load(group)
        return list(self.entries.values())

    # What undoes it.

    def _take_out(self, entry: Entry) -> None:
        if self.entries.get(entry.key) is entry:
            self._removed.append(entry)  # it may have been logged already
            entry.stamp = GONE
            del self.entries[entry.key]

    def _put_back(self, entry: Entry, value: Any) -> None:
        if not is_frozen(value):
            raise CannotTakeBack
        entry.value = value
        self.touch(entry)

    def _put_back_copy(self, entry: Entry, copy: bytes) -> None:
        entry.value = pickle.loads(copy)
        self.touch(entry)

    def _bring_back(self, entry: Entry) -> None:
        if entry.stamp == GONE:
            entry.stamp = 0
            self.touch(entry)
            self.entries[entry.key] = entry

    # What the room calls.

    def changes(self) -> Iterator[tuple[int, Change]]:
        turn = self.touched.turn
        removed = [entry for entry in self._removed if entry.key not in self.entries]
        for band, entries in banded(removed).items():
            yield band, Change(Op.REMOVE, _groups(entries), [entry.key for entry in entries], [])
        written = [entry for entry in self.touched.entries if entry.stamp == turn]
        for band, entries in banded(written).items():
            keys, values = [entry.key for entry in entries], [entry.value for entry in entries]
            yield band, Change(Op.SET, _groups(entries), keys, values)

    def logged(self) -> None:
        self.touched.logged()
        self._removed = []

    def load(self, group: int, changes: Iterable[Change]) -> None:
        fresh: dict[Any, Entry] = {}
        for change in changes:
            if change.op == Op.SET:
                for key, value in zip(change.keys, change.values, strict=True):
                    fresh[key] = Entry(key, value, group)
            else:
                for key in change.keys:
                    fresh.pop(key, None)
        self.entries.update(fresh)


def _groups(entries: list[Entry]) -> bytes:
    return bytes([entry.group for entry in entries])
