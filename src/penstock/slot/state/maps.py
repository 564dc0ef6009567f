"""A shelf with a dict by key, of which the fields that are written are logged, and not the whole dict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final

from penstock.channel.router import group_of_key
from penstock.operators.frozen import is_frozen
from penstock.operators.keyed_state import CannotTakeBack, MapEntry
from penstock.slot.state.change import Change, Op
from penstock.slot.state.shelf import groups_of
from penstock.slot.state.values import ByKey

_NOTHING: Final = object()


class MapShelf(ByKey[MapEntry]):
    """As `keyed_state.Maps` says."""

    kind: ClassVar[str] = "maps"

    def put(self, key: Any, field: Any, value: Any) -> MapEntry:
        entry = self.find(key)
        if entry is None:
            entry = MapEntry(key, {field: value}, group_of_key(key))
            entry.whole = True
            self._put_in(entry)
            return entry
        self._undo.add((self._unput, (entry, field, entry.value.get(field, _NOTHING))))
        entry.fields[field] = None
        entry.value[field] = value
        super().touch(entry)
        return entry

    def drop(self, entry: MapEntry, fields: Iterable[Any]) -> None:
        for field in fields:
            value = entry.value.get(field, _NOTHING)
            if value is not _NOTHING:
                self._undo.add((self._unput, (entry, field, value)))
                entry.fields[field] = None
                del entry.value[field]
        super().touch(entry)

    def touch(self, entry: MapEntry) -> None:
        entry.whole = True
        super().touch(entry)

    def _unput(self, entry: MapEntry, field: Any, value: Any) -> None:
        if value is _NOTHING:
            entry.value.pop(field, None)
        elif self._copies or is_frozen(value):
            entry.value[field] = value
        else:
            raise CannotTakeBack
        self.touch(entry)

    def _changes(self, entries: list[MapEntry]) -> Iterator[Change]:
        yield from self._wholes([entry for entry in entries if entry.whole])
        parts = [(entry, field) for entry in entries if not entry.whole for field in entry.fields]
        dropped = [(entry, field) for entry, field in parts if field not in entry.value]
        if dropped:
            owners = [entry for entry, _ in dropped]
            yield Change(
                Op.DROP, groups_of(owners), [entry.key for entry in owners], fields=[field for _, field in dropped]
            )
        yield from _put([(entry, field) for entry, field in parts if field in entry.value])

    def _wholes(self, entries: Sequence[MapEntry]) -> Iterator[Change]:
        if entries:
            yield Change(Op.EMPTY, groups_of(entries), [entry.key for entry in entries])
        yield from _put([(entry, field) for entry in entries for field in entry.value])

    def logged(self) -> None:
        for band in self.touched.bands:
            for entry in band:
                entry.fields, entry.whole = {}, False
        super().logged()

    def _made(self, key: Any, value: Any, group: int) -> MapEntry:
        return MapEntry(key, value, group)

    def _apply(self, change: Change, fresh: dict[Any, Any]) -> None:
        match change.op:
            case Op.EMPTY:
                for key in change.keys:
                    fresh[key] = {}
            case Op.PUT:
                for key, field, value in zip(change.keys, change.fields, change.values):
                    fresh[key][field] = value
            case Op.DROP:
                for key, field in zip(change.keys, change.fields):
                    fresh[key].pop(field, None)
            case _:
                for key in change.keys:
                    fresh.pop(key, None)


def _put(parts: Sequence[tuple[MapEntry, Any]]) -> Iterator[Change]:
    if parts:
        owners = [entry for entry, _ in parts]
        fields, values = [field for _, field in parts], [entry.value[field] for entry, field in parts]
        yield Change(Op.PUT, groups_of(owners), [entry.key for entry in owners], values, fields=fields)
