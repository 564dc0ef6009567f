"""The entries of one shelf that are not in memory: brought from the store when they are asked for, and let go again.

What a shelf has in memory counts; then what is noted here as changed; then the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.channel.keys import key_bytes
from penstock.channel.router import group_of_key
from penstock.operators.keyed_state import Entry
from penstock.slot.state.change import Change, Columns
from penstock.slot.state.store import Store

if TYPE_CHECKING:
    from penstock.slot.state.values import ByKey

_ENTRY_BYTES: Final = 400
"""What an entry takes in memory beside its value."""
_VALUE_FACTOR: Final = 3
"""A value takes about so many times as much in memory as in the store."""
_RECENT: Final = 8
"""An entry that was written to in one of so many commits before is kept, if others can go."""
_TRIED: Final = 3
_MOST_CHANGED: Final = 4096
_ARRAYS: Final = frozenset(range(0x90, 0xA0)) | {0xDC, 0xDD}
"""The first byte of an array in msgpack."""

_encode = msgspec.msgpack.Encoder().encode
_columns = msgspec.msgpack.Decoder(list[Columns])


class Stored:
    """Of one shelf. `shelf` asks it, and tells it what has changed; `applied` writes that."""

    def __init__(self, shelf: ByKey[Any], store: Store, cache_bytes: int) -> None:
        self._shelf = shelf
        self.store = store
        self._cache_bytes = cache_bytes
        name = shelf.name
        self.prefix = "\0".join((name.stage, name.operator, name.name, "")).encode("utf-8", "surrogatepass")
        self.changed: dict[Any, Entry | None] = {}
        """What the store has not yet, by key; None: it is gone. The entries stay in memory until they are written."""
        self._record_bytes = 64.0
        """What a record takes, on average."""

    # What the shelf asks.

    def bring(self, key: Any) -> None:
        """Put the entry of a key in memory, which is not there yet, if the store has it."""
        if key in self.changed:
            return  # gone
        record = self.store.get(self._place(key))
        if record is not None:
            for entry in self._entries(record, group_of_key(key)):
                if entry.key not in self.changed and entry.key not in self._shelf.entries:
                    self._shelf._place(entry)

    def others(self, group: int | None = None) -> Iterator[Any]:
        """The entries that are not in memory, of a group or of all; they are not put there."""
        prefix = self.prefix if group is None else self.prefix + bytes([group])
        for key, record in self.store.beginning_with(prefix):
            for entry in self._entries(record, key[len(self.prefix)]):
                if entry.key not in self.changed and entry.key not in self._shelf.entries:
                    yield entry

    def base(self, keys: Iterable[Any], fresh: dict[Any, Any]) -> None:
        """What the store has of keys, as `_apply` makes it."""
        for key in keys:
            if key not in fresh:
                record = self.store.get(self._place(key))
                if record is not None:
                    fresh.update((each, value) for each, value in self._values(record).items() if each == key)

    # What is done with each commit.

    def records(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What makes the store as the shelf is."""
        places: dict[bytes, dict[Any, Entry | None]] = {}
        for key, entry in self.changed.items():
            places.setdefault(self._place(key), {})[key] = entry
        for place, changed in places.items():
            there = [entry for entry in changed.values() if entry is not None]
            if place[len(self.prefix) + 1] in _ARRAYS:
                # Keys that are not equal may have one form (`keys`); the others of this place stay as they are.
                record = self.store.get(place)
                if record is not None:
                    there += [e for e in self._entries(record, place[len(self.prefix)]) if e.key not in changed]
            yield place, self._record(there) if there else None

    @property
    def is_full(self) -> bool:
        """True: so much has changed that the store should get it. What changes again meanwhile is written once."""
        return len(self.changed) >= min(_MOST_CHANGED, self.most // 2)

    @property
    def most(self) -> int:
        """So many entries are kept in memory."""
        return int(self._cache_bytes / (_ENTRY_BYTES + _VALUE_FACTOR * self._record_bytes)) + 1

    def let_go(self) -> None:
        """Of what the store has, let go what was brought or made first, unless it was written to lately."""
        entries, turn = self._shelf.entries, self._shelf.touched.turn
        spare = len(entries) - self.most
        if spare <= 0:
            return
        for number, entry in enumerate(list(islice(entries.values(), _TRIED * spare))):
            del entries[entry.key]
            if entry.key in self.changed or (number < (_TRIED - 1) * spare and entry.stamp > turn - _RECENT):
                entries[entry.key] = entry  # behind the others
                continue
            spare -= 1
            if spare <= 0:
                return

    # Records.

    def _place(self, key: Any) -> bytes:
        form = key_bytes(key)
        return self.prefix + bytes([group_of_key(key)]) + form

    def _record(self, entries: list[Any]) -> bytes:
        codec = self._shelf.codec
        record = _encode([codec.encode(0, change) for change in self._shelf._wholes(entries)])
        self._record_bytes += (len(record) / len(entries) - self._record_bytes) / 64
        return record

    def _values(self, record: bytes) -> dict[Any, Any]:
        fresh: dict[Any, Any] = {}
        for columns in _columns.decode(record):
            self._shelf._apply(self._shelf.codec.decode(columns), fresh)
        return fresh

    def _entries(self, record: bytes, group: int) -> list[Any]:
        return [self._shelf._made(key, value, group) for key, value in self._values(record).items()]

    # The log is read.

    def take_in(self, group: int, changes: Iterable[Change]) -> None:
        """What the log says behind what the store has, of a group of which nothing is in memory."""
        shelf = self._shelf
        fresh: dict[Any, Any] = {}
        keys: dict[Any, None] = {}
        for change in changes:
            self.base((key for key in change.keys if key not in keys), fresh)
            keys.update(dict.fromkeys(change.keys))
            shelf._apply(change, fresh)
        for key in keys:
            if key in fresh:
                entry = shelf._made(key, fresh[key], group)
                shelf._place(entry)
                self.changed[key] = entry
            else:
                self.changed[key] = None
