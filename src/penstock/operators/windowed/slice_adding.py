"""How a row is added to the accumulator of its slice and key, as generated text: as a function, or inside of a loop.

Most rows belong to a slice that others have opened a moment ago. Where it is known how their times are read, it is
found in `open_slices` by the time as the row has it, in units of slices. What is not there goes the long way, on which
rows may be late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock.operators.keyed_operator import RowLoop
from penstock.operators.moment_text import EXACT_TIMESTAMP, MICROSECONDS
from penstock.operators.undo_log import UndoLog
from penstock.operators.windowed.slice_shelf import END, KEY, Accumulator, SliceShelf
from penstock.operators.windowed.spec import CallSpec, put_late
from penstock.windows.accumulators import AccumulatorCode, function
from penstock.windows.slices import Slices

if TYPE_CHECKING:
    from penstock.operators.windowed.sliced_calls import SlicedCall


class Adding:
    """The text for one call."""

    def __init__(self, call: SlicedCall, spec: CallSpec, code: AccumulatorCode, undo: UndoLog | None) -> None:
        """`undo`: None if nothing that comes after the call can fail for the same row."""
        self._call = call
        self._spec = spec
        self._code = code
        self._undoes = undo is not None
        self._key, names = spec.keyed(code)
        slices, shelf = call.slices, call.shelf
        self._names: dict[str, Any] = {
            **names, "c": call, "slices": shelf.slices, "open_slice": shelf.open, "find": shelf.find,
            "cold": shelf.cold, "group_of": shelf.group_of, "groups": shelf.groups, "touched": shelf.touched,
            "touch": shelf.touched.add, "members": shelf.members, "is_late": slices.is_late, "shelf": shelf,
            "take_back": take_back, "put_late": put_late, "open_slices": call.open_slices,
            "note": None if undo is None else undo.note,
        }

    def function(self) -> Callable[[Any], None]:
        """What adds a row."""
        made: Callable[[Any], None] = function("row", self._lines("return", "touched.turn"), self._names)
        return made

    def loop(self) -> RowLoop:
        """The same in a loop, during which nothing is committed."""
        before = ["turn = touched.turn", "find_open = open_slices.get"]
        return RowLoop(before, self._lines("continue", "turn", "find_open"), self._names)

    def _lines(self, leave: str, turn: str, find_open: str = "open_slices.get") -> list[str]:
        """`leave`: leaves what is done with this row."""
        code = self._code
        noted, undone = [], []
        if self._undoes:
            noted = ["note(take_back, slices, shelf, a)"]
            undone = code.undo()
        return [
            *self._slice(leave, find_open),
            *code.reads(),
            f"key = {self._key}",
            "a = d.get(key)",
            "if a is None:",
            "    if cold: a = find(end, key)",
            "    if a is None:",
            "        g = groups.get(key)",
            "        if g is None: g = group_of(key)",
            f"        a = [{turn}, g, end, key, {code.first()}]",
            *_indented(_indented(noted)),
            "        d[key] = a",
            "        members[g].append(a)",
            "        touch[g](a)",
            f"        {leave}",
            *undone,
            f"if a[0] != {turn}:",
            "    touch[a[1]](a)",
            f"    a[0] = {turn}",
            *code.update(),
        ]

    def _slice(self, leave: str, find_open: str) -> list[str]:
        """Makes `d`, the accumulators of the row's slice, and `end`, its end."""
        slices, moment = self._call.slices, self._spec.moment_text
        late = "end <= c.closed" + (" and is_late(end, c.closed)" if slices.shared else "")
        counted = ["note(put_late, c, c.late)"] if self._undoes else []
        search = [
            *moment.lines(),
            f"end = {slices.end_text('t')}",
            f"if {late}:", *_indented([*counted, "c.late += 1", leave]),
            "d = slices.get(end)",
            "if d is None: d = open_slice(end)",
        ]
        unit = _in_slices(moment.kind, self._spec.result.unit, slices)
        if not unit or self._code.reads_time:
            return search
        return [
            f"u = {unit} if {moment.is_usual(f'(v := row{moment.field})')} else None",
            f"found = {find_open}(u)",
            "if found is not None:",
            "    d, end = found",
            "else:", *_indented(search),
            f"    if u is not None and 0 <= t < {EXACT_TIMESTAMP}: open_slices[u] = d, end",
        ]


def _in_slices(kind: type | None, unit: str, slices: Slices) -> str:
    """The number of the slice that a row's time is in, as an expression over `v`, the time as the row has it.

    Empty: it cannot be told so. `timestamp()` gives a float, which is right about whole seconds as long as it tells
    microseconds apart (so what it says of later ones is never kept).
    """
    one = 1_000_000 if kind is datetime else MICROSECONDS.get(unit, 0)
    if kind not in (datetime, int) or not one or slices.slice % one or slices.offset % one:
        return ""
    value = "v.timestamp()" if kind is datetime else "v"
    moved = f"({value} - {slices.offset // one})" if slices.offset else value
    return f"{moved} // {slices.slice // one}"


def take_back(slices: Mapping[int, dict[Any, Accumulator]], shelf: SliceShelf, accumulator: Accumulator) -> None:
    """Undo: the accumulator was not there before."""
    of_slice = slices.get(accumulator[END], {})
    if of_slice.get(accumulator[KEY]) is accumulator:
        shelf.take_out(accumulator)
        del of_slice[accumulator[KEY]]


def _indented(lines: Iterable[str]) -> Sequence[str]:
    return ["    " + line for line in lines]
