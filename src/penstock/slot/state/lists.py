"""A shelf with a list by key, of which what is appended and what is evicted is logged, and not the whole list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from penstock.channel.router import group_of_key
from penstock.operators.keyed_state import ListEntry
from penstock.slot.state.change import Change, Op
from penstock.slot.state.shelf import groups_of
from penstock.slot.state.values import ByKey


class ListShelf(ByKey[ListEntry]):
    """As `keyed_state.Lists` says."""

    kind: ClassVar[str] = "lists"

    def append(self, key: Any, value: Any) -> ListEntry:
        entry = self.find(key)
        if entry is None:
            entry = ListEntry(key, [value], group_of_key(key))
            entry.whole = True
            self._put_in(entry)
            return entry
        self._undo.add((self._unappend, (entry, len(entry.value))))
        entry.value.append(value)
        entry.appended += 1
        super().touch(entry)
        return entry

    def evict(self, entry: ListEntry, count: int) -> None:
        self._undo.add((self._unevict, (entry, entry.value)))
        length = len(entry.value)
        count = min(count, length)
        of_log = min(count, length - entry.appended)
        entry.value = entry.value[count:]
        entry.evicted += of_log
        entry.appended -= count - of_log
        super().touch(entry)

    def touch(self, entry: ListEntry) -> None:
        entry.whole = True
        super().touch(entry)

    def _unappend(self, entry: ListEntry, length: int) -> None:
        del entry.value[length:]
        self.touch(entry)

    def _unevict(self, entry: ListEntry, before: list[Any]) -> None:
        entry.value = before
        self.touch(entry)

    def _changes(self, entries: list[ListEntry]) -> Iterator[Change]:
        yield from self._wholes([entry for entry in entries if entry.whole])
        parts = [entry for entry in entries if not entry.whole]
        evicted = [entry for entry in parts if entry.evicted]
        if evicted:
            counts = [entry.evicted for entry in evicted]
            yield Change(Op.EVICT, groups_of(evicted), [entry.key for entry in evicted], fields=counts)
        yield from _appended([(entry, entry.value[-entry.appended :]) for entry in parts if entry.appended])

    def _wholes(self, entries: Sequence[ListEntry]) -> Iterator[Change]:
        if entries:
            yield Change(Op.EMPTY, groups_of(entries), [entry.key for entry in entries])
        yield from _appended([(entry, entry.value) for entry in entries])

    def logged(self) -> None:
        for band in self.touched.bands:
            for entry in band:
                entry.evicted = entry.appended = 0
                entry.whole = False
        super().logged()

    def _made(self, key: Any, value: Any, group: int) -> ListEntry:
        return ListEntry(key, value, group)

    def _apply(self, change: Change, fresh: dict[Any, Any]) -> None:
        match change.op:
            case Op.EMPTY:
                for key in change.keys:
                    fresh[key] = []
            case Op.APPEND:
                for key, value in zip(change.keys, change.values):
                    fresh[key].append(value)
            case Op.EVICT:
                for key, count in zip(change.keys, change.fields):
                    del fresh[key][:count]
            case _:
                for key in change.keys:
                    fresh.pop(key, None)


def _appended(parts: Sequence[tuple[ListEntry, list[Any]]]) -> Iterator[Change]:
    entries = [entry for entry, values in parts for _ in values]
    if entries:
        values = [value for _, values in parts for value in values]
        yield Change(Op.APPEND, groups_of(entries), [entry.key for entry in entries], values)
