"""What all shelves have in common: entries by key groups, writes that can be undone, and what is to be logged."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from penstock.operators.frozen import is_frozen
from penstock.operators.keyed_state import GONE, CannotTakeBack, Entry, Touched
from penstock.operators.undo_log import UndoLog
from penstock.plan.membership import KEY_GROUPS
from penstock.slot.state.bands import banded
from penstock.slot.state.change import Change, ChangeCodec, Op
from penstock.slot.state.shelf_name import ShelfName

E = TypeVar("E", bound=Entry)

_MOST_GONE: Final = 10_000
"""So many entries that are gone may be held in the lists of groups, beyond as many as are there."""
_TIDIED_AT_ONCE: Final = 16


class Beyond(Protocol):
    """What a shelf whose entries are not all in memory asks and tells (`stored`)."""

    changed: dict[Any, Any]

    def bring(self, key: Any) -> None: ...

    def others(self, group: int | None = None) -> Iterator[Any]: ...

    def take_in(self, group: int, changes: Iterable[Change]) -> None: ...


class Shelf(Protocol):
    """What the room asks of a shelf; `EngineShelf` is the base of most."""

    name: ShelfName
    codec: ChangeCodec
    stored: Beyond | None
    """What is not in memory; None: all is, once its group was read."""
    migrate: Callable[[Any], Any] | None
    """Makes a value of one that was stored under another type; None: that is refused."""

    def changes(self) -> Iterable[tuple[int, Change]]:
        """What was written since `logged`, with its band, in the order in which it must be read."""
        ...

    def logged(self) -> None:
        """What `changes` gave is in the log."""
        ...

    def snapshot(self, group: int) -> list[Change]:
        """All that is there of a key group."""
        ...

    def load(self, group: int, changes: Iterable[Change]) -> None:
        """Put in what the log says of a group, of which nothing is here. Called again where it was interrupted."""
        ...


class Cold:
    """The groups of a slot's state that are still only in the log. Shelves ask for a group before they use it."""

    def __init__(self, load: Callable[[int], None]) -> None:
        """`load`: reads a group into all shelves, and takes it out of `groups`."""
        self.groups: set[int] = set()
        self.load = load


class EngineShelf(Generic[E]):
    """Base of the kinds."""

    kind: ClassVar[str] = ""

    def __init__(self, name: ShelfName, type: Any, undo: UndoLog, cold: Cold, *, copies: bool) -> None:
        """`copies`: values that can be changed in place are copied before user code gets them (`keep`)."""
        self.name = name
        self.codec = ChangeCodec(str(name), type)
        self.migrate: Callable[[Any], Any] | None = None
        self.touched: Touched[E] = Touched()
        self._members: list[list[E]] = [[] for _ in range(KEY_GROUPS)]
        """The entries of each group, and some that are gone."""
        self._removed: list[E] = []
        """Since they were last logged; in their places there may be others by now."""
        self._gone = 0
        """Entries that are gone and still among `_members`."""
        self._count = 0
        """Entries among `_members`."""
        self._tidied = 0
        """The group that is tidied next."""
        self._undo = undo
        self._cold = cold
        self._copies = copies
        self.stored: Beyond | None = None
        """The entries that are not in memory; None: all are, once their group was read."""

    # What operators call.

    def keep(self, entry: E) -> None:
        value = entry.value
        if self._copies and not is_frozen(value):
            self._undo.add((self._put_back_copy, (entry, pickle.dumps(value, 5))))
        else:
            self._undo.add((self._put_back, (entry, value)))

    def touch(self, entry: E) -> None:
        if entry.stamp != self.touched.turn:
            self.touched.add(entry)

    def remove(self, entry: E) -> None:
        self._undo.add((self._bring_back, (entry,)))
        self._take_out(entry)

    def forget(self, entry: E) -> None:
        self._take_out(entry)

    def all(self) -> list[E]:
        self.load_all()
        if self.stored is not None:
            return [*self._in_memory(), *self.stored.others()]
        return list(dict.fromkeys(entry for group in self._members for entry in group if entry.stamp != GONE))

    def load_all(self) -> None:
        """Nothing is only in the log any more."""
        for group in sorted(self._cold.groups):
            self._cold.load(group)

    # What each kind has of its own: where its entries are.

    def _place(self, entry: E) -> None:
        """Put an entry where it is found."""
        raise NotImplementedError

    def _displace(self, entry: E) -> None:
        """The other way round; what is not there is no error."""
        raise NotImplementedError

    def _placed(self, entry: E) -> E | None:
        """What is found where an entry would be."""
        raise NotImplementedError

    def _in_memory(self) -> list[E]:
        """The entries that are in memory."""
        raise NotImplementedError

    def _changes(self, entries: list[E]) -> Iterator[Change]:
        """What to log of entries of one band that are there and were written to; the whole of them is always right."""
        return self._wholes(entries)

    def _apply(self, change: Change, fresh: dict[Any, Any]) -> None:
        """Do what the log says to values by key."""
        raise NotImplementedError

    # Entries come and go.

    def _put_in(self, entry: E) -> None:
        """A new one; taken out again if the row fails."""
        self._undo.add((self._take_out_again, (entry,)))
        self.touched.add(entry)
        self._member(entry)
        self._place(entry)

    def _member(self, entry: E) -> None:
        if self.stored is None:
            self._members[entry.group].append(entry)
            self._count += 1

    def _take_out(self, entry: E) -> None:
        self._removed.append(entry)
        entry.stamp = GONE
        self._displace(entry)
        if self.stored is None:
            self._gone += 1
        else:
            self.stored.changed[entry.key] = None

    def _take_out_again(self, entry: E) -> None:
        if self._placed(entry) is entry:
            self._take_out(entry)  # it may have been logged already

    def _put_back(self, entry: E, value: Any) -> None:
        if not is_frozen(value):
            raise CannotTakeBack
        entry.value = value
        self.touch(entry)

    def _put_back_copy(self, entry: E, copy: bytes) -> None:
        entry.value = pickle.loads(copy)
        self.touch(entry)

    def _bring_back(self, entry: E) -> None:
        if entry.stamp == GONE:
            self.touch(entry)
            self._member(entry)  # once too often, most of the time, which does no harm
            self._place(entry)

    # What the room calls.

    def changes(self) -> Iterator[tuple[int, Change]]:
        if self._removed:
            removed = [entry for entry in self._removed if self._placed(entry) is None]
            for band, entries in banded(removed).items():
                yield band, Change(Op.REMOVE, groups_of(entries), [entry.key for entry in entries])
        for band, touched in enumerate(self.touched.bands):
            if touched:
                for change in self._changes(self._written(touched)):
                    yield band, change

    def _written(self, touched: list[E]) -> list[E]:
        """Those of the touched that are there, each once: one that was brought back is there twice."""
        turn, written = self.touched.turn, dict[E, None]()
        for entry in touched:
            if entry.stamp == turn:
                written[entry] = None
        return list(written)

    def logged(self) -> None:
        if self.stored is not None:
            for band in self.touched.bands:
                for entry in band:
                    if entry.stamp != GONE:
                        self.stored.changed[entry.key] = entry
        self.touched.logged()
        self._removed = []
        if self._gone > _MOST_GONE and 2 * self._gone > self._count:
            for _ in range(_TIDIED_AT_ONCE):
                self._tidy(self._tidied)
                self._tidied = (self._tidied + 1) % KEY_GROUPS

    def snapshot(self, group: int) -> list[Change]:
        if self.stored is not None:
            there = [entry for entry in self._in_memory() if entry.group == group]
            return list(self._wholes([*there, *self.stored.others(group)]))
        return list(self._wholes(self._tidy(group)))

    def _tidy(self, group: int) -> list[E]:
        """The entries of a group, without those that are gone."""
        before = self._members[group]
        # Each once: of a list that stands in a snapshot twice, the next life would find everything twice.
        there = self._members[group] = list(dict.fromkeys(entry for entry in before if entry.stamp != GONE))
        self._gone -= len(before) - len(there)
        self._count -= len(before) - len(there)
        return there

    def load(self, group: int, changes: Iterable[Change]) -> None:
        if self.stored is not None:
            self.stored.take_in(group, changes)
            return
        fresh: dict[Any, Any] = {}
        for change in changes:
            self._apply(change, fresh)
        entries = [self._made(key, value, group) for key, value in fresh.items()]
        for entry in entries:
            self._place(entry)
        self._count += len(entries) - len(self._members[group])
        self._members[group] = entries

    def _made(self, key: Any, value: Any, group: int) -> E:
        """An entry of what `_apply` gave."""
        raise NotImplementedError

    def _wholes(self, entries: Sequence[E]) -> Iterator[Change]:
        """Entries with their whole values."""
        if entries:
            keys, values = [entry.key for entry in entries], [entry.value for entry in entries]
            yield Change(Op.SET, groups_of(entries), keys, values)


def groups_of(entries: Sequence[Entry]) -> bytes:
    """Their groups, as a column."""
    return bytes([entry.group for entry in entries])
