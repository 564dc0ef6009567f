"""Windows of a number of rows in a worker: a row may complete its key's window, and its results follow it at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from penstock.ctrl_c import is_ctrl_c
from penstock.operators.keyed_operator import KeyedCall, KeyFailed
from penstock.operators.keyed_state import Values
from penstock.operators.undo_log import UndoLog
from penstock.operators.windowed.spec import CallSpec
from penstock.windows.accumulators import function, put_back

START: Final = 0
"""Place of the number of the window's first row, among those of its key."""
COUNT: Final = 1
PLACES: Final = 2


class CountCall(KeyedCall):
    """The value of a key: `[start, count, *places]`; only `[start, 0]` between two windows."""

    def __init__(self, spec: CallSpec, rows: int, shelf: Values, undo: UndoLog | None) -> None:
        self.late = 0
        self.shelf = shelf
        self._rows = rows
        self._undo = undo
        self._moment = spec.moment
        code = spec.code(PLACES)
        key, names = spec.keyed(code)
        self._key_of = function("row", [f"return {key}"], names)
        self._made = spec.accumulators(PLACES)
        self._row = spec.row_of_values()

    def __call__(self, row: Any) -> list[Any]:
        time, key = self._moment(row), self._key_of(row)
        entry = self.shelf.entries.get(key)
        if entry is None:
            entry = self.shelf.find(key)
        if entry is None:
            entry = self.shelf.add(key, value := self._made.first(row, time, (0, 1)))
        else:
            value = self._next(entry.value, row, time)
            if value is not entry.value and self._undo is not None:
                self._undo.note(_put_value, entry, entry.value)
            entry.value = value
            self.shelf.touch(entry)
        if value[COUNT] < self._rows:
            return []
        start, end = value[START], value[START] + value[COUNT]
        given = self._row(key, start, end, self._made.results(value))
        if self._undo is not None:
            self._undo.note(_put_value, entry, value)
        entry.value = [end, 0]
        return [given]

    def _next(self, value: list[Any], row: Any, time: int) -> list[Any]:
        """The value with another row; the same one where the row was added in place."""
        if value[COUNT] == 0:
            return self._made.first(row, time, (value[START], 1))
        if self._undo is None:
            self._made.update(value, row, time)
        else:
            self._undo.note(put_back, value, list(value))
            self._made.update_noted(value, row, time, self._undo.note)
        value[COUNT] += 1
        return value

    def end(self) -> Iterable[Any]:
        return self._left()

    def _left(self) -> Iterator[Any]:
        """Windows that the end of the input cut short."""
        for entry in self.shelf.all():
            value = entry.value
            self.shelf.remove(entry)
            if value[COUNT]:
                yield self._cut_short(entry.key, value)

    def _cut_short(self, key: Any, value: list[Any]) -> Any:
        try:
            return self._row(key, value[START], value[START] + value[COUNT], self._made.results(value))
        except BaseException as exc:  # of a result of the user's own, or of the class of the row
            if is_ctrl_c(exc):
                raise
            return KeyFailed(key, value[START], exc)


def _put_value(entry: Any, value: list[Any]) -> None:
    """Undo: the key has this value."""
    entry.value = value
