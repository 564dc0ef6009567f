"""What keyed operators ask of the state of their stage: shelves by key, in memory, logged with each commit.

A shelf has a kind: one value by key, lists, maps, rows in the order of time, accumulators by slice of time. The
engine's shelves are in `slot/state`; here is what an operator sees of them. What it writes to them is taken back if the
row in progress fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

from penstock.operators.windowed.column_shelf import ColumnShelf
from penstock.operators.windowed.slice_shelf import SliceShelf

BAND_SHIFT: Final = 4
"""A band is so many groups, as a power of two: `slot/state/bands` says what for."""
BANDS: Final = 256 >> BAND_SHIFT
GONE: Final = -1
"""The stamp of an entry that was removed."""


class CannotTakeBack(Exception):
    """What a failed row has written cannot be told from what was there: a value was changed in place."""


class StateNotEncoded(Exception):
    """A value of the state cannot be stored."""

    def __init__(self, where: str, key: Any, error: BaseException) -> None:
        super().__init__(where, key, error)
        self.where = where
        """The operator, and the shelf."""
        self.key = key
        self.error = error


class Entry:
    """What is kept for one key."""

    __slots__ = ("group", "key", "stamp", "value")

    def __init__(self, key: Any, value: Any, group: int) -> None:
        self.key = key
        self.value = value
        self.group = group
        """The key's group (`channel/keys.py`)."""
        self.stamp = 0
        """The turn of the shelf in which it was last written to; `GONE`: it is not in the shelf any more."""


E = TypeVar("E", bound=Entry)


class Touched(Generic[E]):
    """The entries of a shelf that were written to since they were last logged, by bands of groups as in the log."""

    __slots__ = ("bands", "turn")

    def __init__(self) -> None:
        self.turn = 1
        """Grows with each commit."""
        self.bands: list[list[E]] = [[] for _ in range(BANDS)]

    def add(self, entry: E) -> None:
        """Have it logged with the next commit. Only where its stamp is not the turn's: it is there already."""
        self.bands[entry.group >> BAND_SHIFT].append(entry)
        entry.stamp = self.turn  # last: interrupted between the two, it is logged twice rather than never

    def logged(self) -> None:
        """All of them are in the log."""
        for band in self.bands:
            band.clear()
        self.turn += 1


class Shelf(Protocol[E]):
    """What all kinds have in common."""

    touched: Touched[E]

    def keep(self, entry: E) -> None:
        """Keep the value as it is now, in case the row fails. Call it before user code is given the value."""
        ...

    def touch(self, entry: E) -> None:
        """`entry.value` was replaced or changed in place, or will be: it is logged with the next commit, all of it."""
        ...

    def remove(self, entry: E) -> None:
        """Take the entry out."""
        ...

    def forget(self, entry: E) -> None:
        """As `remove`, and not undone: for what time takes out, rather than a row."""
        ...

    def all(self) -> list[E]:
        """Every entry, those that were only in the log included."""
        ...


class Values(Shelf[Entry], Protocol):
    """A shelf with one value by key."""

    entries: dict[Any, Entry]
    """Those in memory. A key that is not here may still be in the log: `find` knows."""

    def find(self, key: Any) -> Entry | None:
        """The entry of a key; None: there is none. Raises `TypeError` for what is no key."""
        ...

    def add(self, key: Any, value: Any) -> Entry:
        """Make the entry of a key that has none."""
        ...

    def made(self, key: Any, value: Any) -> Entry:
        """As `add`, for whoever undoes it alone, by `forget`."""
        ...

    def replace(self, entry: Entry, value: Any) -> None:
        """Set another value, where nobody changes one in place: user code never sees it, or it is `frozen`."""
        ...


class ListEntry(Entry):
    """A list, and how it differs from what the log says of it."""

    __slots__ = ("appended", "evicted", "whole")

    def __init__(self, key: Any, value: list[Any], group: int) -> None:
        super().__init__(key, value, group)
        self.evicted = 0
        """So many of those that the log has are gone from the front."""
        self.appended = 0
        """So many at the end are not in the log."""
        self.whole = False
        """True: all of it is to be logged."""


class MapEntry(Entry):
    """A dict, and how it differs from what the log says of it."""

    __slots__ = ("fields", "whole")

    def __init__(self, key: Any, value: dict[Any, Any], group: int) -> None:
        super().__init__(key, value, group)
        self.fields: dict[Any, None] = {}
        """Those that were written to since it was logged."""
        self.whole = False
        """True: all of it is to be logged."""


class Lists(Shelf[ListEntry], Protocol):
    """A shelf with a list by key. What is appended is logged, and how much of the front was evicted, not the list.

    `entry.value` is the list, to be read only. A list of which all is evicted is still there.
    """

    entries: dict[Any, ListEntry]

    def find(self, key: Any) -> ListEntry | None:
        """As `Values.find`."""
        ...

    def append(self, key: Any, value: Any) -> ListEntry:
        """Append to the list of a key, which is made if there is none."""
        ...

    def evict(self, entry: ListEntry, count: int) -> None:
        """Take this many values from the front of a list."""
        ...


class Maps(Shelf[MapEntry], Protocol):
    """A shelf with a dict by key. Each change of a field is logged, not the dict.

    `entry.value` is the dict, to be read only. A dict of which all is removed is still there.
    """

    entries: dict[Any, MapEntry]

    def find(self, key: Any) -> MapEntry | None:
        """As `Values.find`."""
        ...

    def put(self, key: Any, field: Any, value: Any) -> MapEntry:
        """Set one field of the dict of a key, which is made if there is none."""
        ...

    def drop(self, entry: MapEntry, fields: Iterable[Any]) -> None:
        """Remove fields; those that are not there are no error."""
        ...


class BufferEntry(Entry):
    """Rows of one key in the order of their times; `value` are the rows, to be read only, as are `times`."""

    __slots__ = ("evicted_before", "inserted", "times", "whole")

    def __init__(self, key: Any, times: list[int], rows: list[Any], group: int) -> None:
        super().__init__(key, rows, group)
        self.times = times
        """The time of each row, in microseconds; rows of one time are in the order of their arrival."""
        self.inserted: list[tuple[int, Any]] = []
        """Those that are not in the log."""
        self.evicted_before: int | None = None
        """What the log has of earlier times is gone."""
        self.whole = False
        """True: all of it is to be logged."""


class Buffers(Shelf[BufferEntry], Protocol):
    """A shelf with rows by key in the order of their times, as joins need them."""

    entries: dict[Any, BufferEntry]

    def find(self, key: Any) -> BufferEntry | None:
        """As `Values.find`."""
        ...

    def insert(self, key: Any, time_us: int, row: Any) -> BufferEntry:
        """Put a row in its place."""
        ...

    def evict_before(self, entry: BufferEntry, time_us: int) -> None:
        """Take out the rows of earlier times. A buffer that is empty is still there: `remove` it."""
        ...


class StageState(Protocol):
    """The state of one operator of a stage, in one slot. Shelves are asked for once, when the operator is opened.

    `type`: the annotation of a value (of an element, of a field's value); a change of it is refused.
    """

    @property
    def watermark_us(self) -> int:
        """Event time of the stage, as it stood before the rows in progress were taken: what is older is late."""
        ...

    def now_us(self) -> int:
        """The clock on the wall, in microseconds since 1970."""
        ...

    def values(
        self, name: str, type: Any = Any, migrate: Callable[[Any], Any] | None = None, *, in_memory: bool = False
    ) -> Values:
        """`migrate`: makes a value of one that was stored under another type.

        `in_memory`: wherever the stage keeps its state, `entries` has all of them once `all` was called, and an entry
        may be held from one commit to the next.
        """
        ...

    def lists(self, name: str, type: Any = Any, *, in_memory: bool = False) -> Lists: ...

    def maps(self, name: str, type: Any = Any) -> Maps: ...

    def buffers(self, name: str, type: Any = Any) -> Buffers: ...

    def slices(self, name: str, type: Any = Any) -> SliceShelf:
        """Of accumulators by slice of time; `type` describes one."""
        ...

    def columns(self, name: str, type: Any = Any) -> ColumnShelf:
        """Of the same in columns; `type` describes an accumulator."""
        ...
