"""What `scan` does for a row. A module of its own, for it is compiled where there is a compiler."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from penstock.operators.field_key import field_getter
from penstock.operators.frozen import is_frozen
from penstock.operators.keyed_state import CannotTakeBack, Entry, Touched, Values
from penstock.operators.undo_log import UndoLog

_NOTHING: Final = 0
_CHANGED: Final = 1
_ADDED: Final = 2
_MADE: Final = 3
"""As `_ADDED`, and nothing is noted in the log of what to undo."""


class ScanStep:
    """Keeps what undoes the row in progress by itself, where nothing else writes to state for it (`UndoLog.alone`)."""

    def __init__(self, fn: Any, key: Any, initial: Any, shelf: Values, undo: UndoLog) -> None:
        """`key`: as `key_by` was given it."""
        self._fn = fn
        self._field: str | None = key if isinstance(key, str) else None
        self._key_of = field_getter(key) if isinstance(key, str) else key
        self._initial = initial
        self._is_frozen = is_frozen(initial)
        self._shelf = shelf
        self._entries: dict[Any, Entry] = shelf.entries
        self._touched: Touched[Entry] = shelf.touched
        self._undo = undo
        self._wrote = _NOTHING
        self._entry: Entry | None = None
        self._before: Any = None
        self._alone = undo.alone
        if self._alone:
            undo.single = self

    def over(self, rows: Iterator[Any], given: list[Any]) -> None:
        """The same for all rows, where nothing else is done with them and no time-out interrupts: one call for many.

        Where a row fails, those before it are through, and the iterator stands behind it.
        """
        fn, key_of, field, entries, touched = self._fn, self._key_of, self._field, self._entries, self._touched
        turn = touched.turn
        for row in rows:
            self._wrote = _NOTHING
            if field is not None and not isinstance(row, dict):
                key = getattr(row, field)
            else:
                key = key_of(row)
            found = entries.get(key)
            if found is None:
                found = self._shelf.find(key)
            if found is None:
                pair = fn(self._initial if self._is_frozen else copy.deepcopy(self._initial), row)
                if not isinstance(pair, tuple) or len(pair) != 2:
                    raise _no_pair(pair)
                self._entry = self._shelf.made(key, pair[0])
                self._wrote = _MADE
                given.append(pair[1])
                continue
            entry: Entry = found
            before = entry.value
            self._entry = entry
            self._before = before
            self._wrote = _CHANGED
            pair = fn(before, row)
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise _no_pair(pair)
            entry.value = pair[0]
            if entry.stamp != turn:
                touched.add(entry)
            given.append(pair[1])

    def __call__(self, row: Any) -> Any:
        self._wrote = _NOTHING
        key = self._key_of(row)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._shelf.find(key)
            if entry is None:
                return self._first(key, row)
        before = entry.value
        if self._alone:
            self._entry = entry
            self._before = before
            self._wrote = _CHANGED
        else:
            self._shelf.keep(entry)
        pair = self._fn(before, row)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise _no_pair(pair)
        entry.value = pair[0]
        touched = self._touched
        if entry.stamp != touched.turn:
            touched.add(entry)
        return pair[1]

    def _first(self, key: Any, row: Any) -> Any:
        """The first row of a key."""
        pair = self._fn(self._initial if self._is_frozen else copy.deepcopy(self._initial), row)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise _no_pair(pair)
        if self._alone:
            self._undo.begin()
            self._wrote = _ADDED
        self._shelf.add(key, pair[0])
        return pair[1]

    def keep(self) -> None:
        """As `UndoLog.keep_all`."""
        self._wrote = _NOTHING

    def take_back(self) -> None:
        """As `UndoLog.roll_back`."""
        wrote, entry = self._wrote, self._entry
        self._wrote = _NOTHING
        if wrote == _ADDED:
            self._undo.undo_all()
        elif wrote == _MADE and entry is not None:
            self._shelf.forget(entry)
        elif wrote == _CHANGED and entry is not None:
            if not is_frozen(self._before):
                raise CannotTakeBack
            entry.value = self._before
            if entry.stamp != self._touched.turn:
                self._touched.add(entry)


def _no_pair(given: Any) -> TypeError:
    shown = f"{len(given)} values" if isinstance(given, tuple) else type(given).__name__
    return TypeError(f"a scan function returned {shown}; return the state and the row, as a tuple of two")
