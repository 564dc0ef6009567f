"""A shelf of partial results in columns: what each batch gave is appended to the log, and the log is the state.

The partials are merged in memory when those that were not yet merged have become many, and when somebody asks for all
of them. The log has them as they came, until it is written anew with the merged ones. Keys of all groups stand in one
table, so they have a band and a group of their own (`bands`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from penstock import columns
from penstock.event_time import NO_WATERMARK
from penstock.operators.undo_log import UndoLog
from penstock.slot.state.bands import COLUMNS_BAND, COLUMNS_GROUP
from penstock.slot.state.change import Change, ChangeCodec, Op
from penstock.slot.state.loaded_columns import LoadedColumns, in_groups
from penstock.slot.state.shelf import Beyond, Cold
from penstock.slot.state.shelf_name import ShelfName
from penstock.windows.columnar.partials import END, KEY
from penstock.windows.columnar.readable import NotInColumns

_MERGED_TIMES: Final = 4
_MERGED_ROWS: Final = 65_536
"""Partials are merged once they have more rows than this, and so many times those that were merged before."""


class _Written(msgspec.Struct, frozen=True):
    """What is to be logged."""

    op: Op
    at: int
    table: Any = None
    number: int = 0
    groups: bytes = b""
    """Of the keys that it is about; empty: all."""

    def change(self) -> Change:
        values = [] if self.table is None else [columns.encode_table(self.table)]
        return Change(self.op, self.groups, [], values, self.at, [self.number])


class _Given:
    """Keys of a window that were given: a part of a column, which grows until it is logged."""

    def __init__(self, window: int, keys: Any, start: int, stop: int) -> None:
        self.window = window
        self.start = start
        self.stop = stop
        self._keys = keys

    def grows(self, window: int, keys: Any, start: int, stop: int) -> bool:
        """True: these come behind it, and are in it now."""
        follows = keys is self._keys and window == self.window and start == self.stop
        self.stop = stop if follows else self.stop
        return follows

    @property
    def keys(self) -> Any:
        return self._keys.slice(self.start, self.stop - self.start)

    def change(self) -> Change:
        table = columns.arrow().table([self.keys], ["key"])
        return _Written(Op.REMOVE, self.window, table).change()


class ColumnShelf:
    """As `column_shelf.ColumnShelf` says."""

    kind: Final = "columns"

    def __init__(self, name: ShelfName, type: Any, undo: UndoLog, cold: Cold, *, copies: bool) -> None:
        """As for other shelves. There is nothing to undo: a batch is in it as soon as nothing of it can fail."""
        self.name = name
        self.codec = ChangeCodec(str(name), Any)
        self.migrate: Callable[[Any], Any] | None = None
        self.stored: Beyond | None = None
        self.merge: Callable[[Sequence[Any]], Any] = columns.joined
        self.done: int = NO_WATERMARK
        self._floor: int = NO_WATERMARK
        """Slices that end here or before are gone."""
        self._partials: list[Any] = []
        self._merged_rows = 0
        """In the first of the partials, if it was merged."""
        self._rows = 0
        """In the others."""
        self._least: int | None = None
        self._given: dict[int, list[_Given]] = {}
        self._ahead: list[tuple[int, bytes]] = []
        """Key groups that come from slots which were further, and which windows these had given."""
        self._written: list[_Written | _Given] = []
        self._cold = cold

    # What calls ask.

    def least_end(self) -> int | None:
        self._load()
        return self._least

    def append(self, partial: Any, least_end: int) -> None:
        self._written.append(_Written(Op.APPEND, least_end, partial))
        self._take_in(partial, least_end)
        # What is only in the log need not be read for this: it is merged with the others when it is there.
        if self._rows > _MERGED_TIMES * self._merged_rows + _MERGED_ROWS:
            self._merge()

    def _take_in(self, partial: Any, least_end: int) -> None:
        self._partials.append(partial)
        self._rows += partial.num_rows
        self._least = least_end if self._least is None else min(self._least, least_end)

    def partials(self) -> list[Any]:
        self._load()
        self._merge()
        return list(self._partials)

    def note_given(self, window: int, keys: Any, start: int, stop: int) -> None:
        last = self._written[-1] if self._written else None
        if isinstance(last, _Given) and last.grows(window, keys, start, stop):
            return
        given = _Given(window, keys, start, stop)
        self._written.append(given)
        self._given.setdefault(window, []).append(given)

    def not_given(self, window: int, partial: Any) -> Any:
        self._load()
        compute = columns.compute()
        given = self.given(window)
        if given and partial.num_rows:
            keys = columns.joined([columns.arrow().table([key], ["key"]) for key in given])["key"]
            partial = partial.filter(compute.invert(compute.is_in(partial[KEY], value_set=keys.combine_chunks())))
        for done, groups in self._ahead:
            if window <= done and partial.num_rows:
                partial = partial.filter(compute.invert(in_groups(partial[KEY], groups)))
        return partial

    def windows(self) -> list[int]:
        self._load()
        return list(self._given)

    def given(self, window: int) -> list[Any]:
        self._load()
        return [given.keys for given in self._given.get(window, ())]

    def note_done(self, window: int, floor: int) -> None:
        self._written.append(_Written(Op.CLOSE, window, number=floor))
        self._close(window, floor)

    def clear(self) -> None:
        self._written.append(_Written(Op.EMPTY, 0))
        self._empty()

    # In memory.

    def _close(self, window: int, floor: int) -> None:
        self.done, self._floor = max(self.done, window), max(self._floor, floor)
        self._given = {end: keys for end, keys in self._given.items() if end > self.done}
        if self._least is not None and self._least <= self._floor:
            self._hold([self._above_floor(partial) for partial in self._partials])

    def _empty(self) -> None:
        self._given.clear()
        self._ahead = []
        self._hold([])

    def _above_floor(self, partial: Any) -> Any:
        compute = columns.compute()
        return partial.filter(compute.greater(partial[END], self._floor))

    def _hold(self, partials: Sequence[Any]) -> None:
        """These and no others are there, the first of them merged."""
        self._partials = [partial for partial in partials if partial.num_rows]
        rows = [partial.num_rows for partial in self._partials]
        self._merged_rows, self._rows = (rows[0] if rows else 0), sum(rows[1:])
        ends = [columns.compute().min(partial[END]).as_py() for partial in self._partials]
        self._least = min(ends, default=None)

    def _merge(self) -> None:
        """Neighbours of one schema become one."""
        if len(self._partials) < 2:
            return
        try:
            self._hold([self.merge(alike) for alike in _alike(self._partials)])
        except NotInColumns:  # whoever asks for them makes rows of them
            self._merged_rows += self._rows
            self._rows = 0

    def _load(self) -> None:
        if COLUMNS_GROUP in self._cold.groups:
            self._cold.load(COLUMNS_GROUP)

    # What the room calls.

    def changes(self) -> Iterator[tuple[int, Change]]:
        for one in self._written:
            yield COLUMNS_BAND, one.change()

    def logged(self) -> None:
        self._written = []

    def snapshot(self, group: int) -> list[Change]:
        """All there is; of the group of columns."""
        held: list[_Written | _Given] = [_Written(Op.CLOSE, self.done, number=self._floor)]
        held += [_Written(Op.APPEND, 0, partial) for partial in self.partials()]
        held += [_Written(Op.CLOSE, done, number=self._floor, groups=groups) for done, groups in self._ahead]
        held += [one for given in self._given.values() for one in given]
        return [one.change() for one in held]

    def load(self, group: int, changes: Iterable[Change]) -> None:
        """What the log says comes before what was appended in this life."""
        later, lived = self._partials, self._given
        found = LoadedColumns(changes)
        self.done, self._floor, self._ahead = found.done, found.floor, found.ahead
        self._given = {}
        for window, keys in found.given.items():
            self._given[window] = [_Given(window, column, 0, len(column)) for column in keys]
        for window, given in lived.items():
            self._given.setdefault(window, []).extend(given)
        self._hold([*found.partials, *later])
        self._merged_rows, self._rows = 0, self._rows + self._merged_rows


def _alike(partials: Sequence[Any]) -> Iterator[list[Any]]:
    """Neighbours of one schema."""
    run: list[Any] = []
    for partial in partials:
        if run and not run[0].schema.equals(partial.schema):
            yield run
            run = []
        run.append(partial)
    if run:
        yield run
