"""A shelf with one value by key."""

from __future__ import annotations

from typing import Any, ClassVar

from penstock.channel.router import group_of_key
from penstock.operators.keyed_state import Entry
from penstock.operators.undo_log import UndoLog
from penstock.slot.state.change import Change, Op
from penstock.slot.state.shelf import Cold, E, EngineShelf
from penstock.slot.state.shelf_name import ShelfName


class ByKey(EngineShelf[E]):
    """A shelf whose entries are found by their key alone."""

    def __init__(self, name: ShelfName, type: Any, undo: UndoLog, cold: Cold, *, copies: bool) -> None:
        super().__init__(name, type, undo, cold, copies=copies)
        self.entries: dict[Any, E] = {}

    def find(self, key: Any) -> E | None:
        entry = self.entries.get(key)
        if entry is None and self._cold.groups:
            group = group_of_key(key)
            if group in self._cold.groups:
                self._cold.load(group)
                entry = self.entries.get(key)
        if entry is None and self.stored is not None:
            self.stored.bring(key)
            return self.entries.get(key)
        return entry

    def _in_memory(self) -> list[E]:
        return list(self.entries.values())

    def _place(self, entry: E) -> None:
        self.entries[entry.key] = entry

    def _displace(self, entry: E) -> None:
        self.entries.pop(entry.key, None)

    def _placed(self, entry: E) -> E | None:
        return self.entries.get(entry.key)


class ValueShelf(ByKey[Entry]):
    """As `keyed_state.Values` says."""

    kind: ClassVar[str] = "values"

    def add(self, key: Any, value: Any) -> Entry:
        entry = Entry(key, value, group_of_key(key))
        self._put_in(entry)
        return entry

    def made(self, key: Any, value: Any) -> Entry:
        entry = Entry(key, value, group_of_key(key))
        self.touched.add(entry)
        self._member(entry)
        self.entries[key] = entry
        return entry

    def replace(self, entry: Entry, value: Any) -> None:
        self._undo.add((self._put_back_value, (entry, entry.value)))
        entry.value = value
        self.touch(entry)

    def _put_back_value(self, entry: Entry, value: Any) -> None:
        entry.value = value
        self.touch(entry)

    def _written(self, touched: list[Entry]) -> list[Entry]:
        if not self._removed:
            return touched  # one that stands there twice has one value
        return super()._written(touched)

    def _made(self, key: Any, value: Any, group: int) -> Entry:
        return Entry(key, value, group)

    def _apply(self, change: Change, fresh: dict[Any, Any]) -> None:
        if change.op == Op.SET:
            fresh.update(zip(change.keys, change.values))
        else:
            for key in change.keys:
                fresh.pop(key, None)
