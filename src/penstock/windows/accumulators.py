"""The aggregations of a window as generated code over one accumulator, which is a list.

The first places of the list are its owner's (`base` of them: a stamp, the time of a session's first row); each
aggregation has its places behind these. `AccumulatorCode` gives the text, which the verbs put into their own loops;
`Accumulators` has it as functions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.row_reading import Reading, Value, read, reading, without_none

_numbers = itertools.count()
_TIME: Final = re.compile(r"\bt\b")
Lines = list[str]


class _Places:
    """One aggregation in its place: the names that its texts use."""

    def __init__(self, aggregation: Aggregation, start: int, number: int, code: AccumulatorCode) -> None:
        self.start = start
        values, guard = aggregation.values(), aggregation.guard
        self.readings = [code.reading_of(value) for value in values]
        self._guard = guard
        self.aggregation = aggregation = aggregation.over(self.types)
        self.read = [code.name_of(value) for value in values]
        conditions, self._where = [], ""
        if 0 <= guard < len(values) and self.readings[guard].may_be_none:
            conditions.append(f"{self.read[guard]} is not None")
        if aggregation.where is not None:
            conditions.append(f"w{number}")
            self._where = f"w{number} = not not {code.name_of(aggregation.where)}"
        self.nullable = bool(conditions)
        """True: rows may be passed over, so the first place is None as long as none was taken."""
        self.taken = " and ".join(conditions)
        self.x = list(self.read)
        self.prepared = aggregation.prepared(self.read) if values else ""
        if self.prepared:
            self.x[max(guard, 0)] = f"y{number}"

    def names(self, of: str) -> list[str]:
        return [f"{of}[{self.start + place}]" for place in range(self.aggregation.width)]

    @property
    def new(self) -> list[str]:
        return [f"n{self.start + place}" for place in range(self.aggregation.width)]

    @property
    def types(self) -> list[Any]:
        """The types of the values; of the one that decides, without None."""
        return [without_none(found.type) if at == self._guard else found.type for at, found in enumerate(self.readings)]

    def prepare(self) -> Lines:
        lines = [self._where] if self._where else []
        if not self.prepared:
            return lines
        name = self.x[max(self.aggregation.guard, 0)]
        return [*lines, f"{name} = {self.prepared}" + (f" if {self.taken} else None" if self.nullable else "")]

    def first(self) -> list[str]:
        texts = self.aggregation.first(self.x)
        return [f"(({text}) if {self.taken} else None)" if self.nullable else f"({text})" for text in texts]

    def compute(self) -> Lines:
        """What may raise: the new values, before any of them is written."""
        aggregation, a = self.aggregation, self.names("a")
        if aggregation.in_place:
            check = aggregation.check(a)
            if check and self.nullable:
                return [f"if {self.taken} and {a[0]} is not None:", *_indented([check])]
            return [check] if check else []
        first = [f"{name} = {text}" for name, text in zip(self.new, aggregation.first(self.x), strict=True)]
        new = [f"{name} = {text}" for name, text in zip(self.new, aggregation.new(a, self.x, self.new), strict=True)]
        if not self.nullable:
            return new
        old = [f"{name} = {place}" for name, place in zip(self.new, a, strict=True)]
        return [
            f"if not ({self.taken}):", *_indented(old), f"elif {a[0]} is None:", *_indented(first), "else:",
            *_indented(new),
        ]

    @property
    def is_one_value(self) -> bool:
        """True: one expression says what it becomes, so it may be written as it is computed."""
        return not self.aggregation.in_place and not self.nullable and self.aggregation.width == 1

    def write_at_once(self) -> Lines:
        place = self.names("a")
        return [f"{place[0]} = {self.aggregation.new(place, self.x, self.new)[0]}"]

    def write(self) -> Lines:
        a = self.names("a")
        if not self.aggregation.in_place:
            return [f"{place} = {name}" for place, name in zip(a, self.new, strict=True)]
        return self._where_there([f"{a[0]} = {self.aggregation.first(self.x)[0]}"], self.aggregation.add(a, self.x))

    def undo(self) -> Lines:
        if not self.aggregation.in_place:
            return []
        return self._where_there(["pass"], self.aggregation.undo(self.names("a"), self.x))

    def _where_there(self, first: Sequence[str], further: Sequence[str]) -> Lines:
        if not self.nullable:
            return list(further)
        inner = [f"if {self.names('a')[0]} is None:", *_indented(first), "else:", *_indented(further)]
        return [f"if {self.taken}:", *_indented(inner)]

    def merge(self) -> Lines:
        aggregation, a, b = self.aggregation, self.names("a"), self.names("b")
        merged = [f"{name} = {text}" for name, text in zip(self.new, aggregation.merged(a, b), strict=True)]
        merged += [f"{place} = {name}" for place, name in zip(a, self.new, strict=True)]
        if not self.nullable:
            return merged
        copied = [f"{place} = {text}" for place, text in zip(a, aggregation.copied(b), strict=True)]
        inner = [f"if {a[0]} is None:", *_indented(copied), "else:", *_indented(merged)]
        return [f"if {b[0]} is not None:", *_indented(inner)]

    def copied(self) -> list[str]:
        a = self.names("a")
        copies = self.aggregation.copied(a)
        if not self.nullable or copies == a:
            return list(copies)
        return [f"(None if {a[0]} is None else {text})" for text in copies]

    def result(self) -> str:
        a = self.names("a")
        found = self.aggregation.result(a)
        return f"({self.aggregation.result_without_rows} if {a[0]} is None else {found})" if self.nullable else found

    def result_type(self) -> Any:
        found = self.aggregation.result_type(self.types)
        if found is Any or not self.nullable or self.aggregation.result_without_rows != "None":
            return found
        is_known = self.aggregation.where is not None or self.readings[self._guard].type is not Any
        return found | None if is_known else found

    def state_types(self) -> list[Any]:
        found = self.aggregation.state_types(self.types)
        return [kind if kind is Any or not self.nullable else kind | None for kind in found]


class AccumulatorCode:
    """The text of a window's aggregations over rows of a type. It begins with `row`, and with `t`, the row's time."""

    def __init__(self, aggregations: Mapping[str, Aggregation], row_type: Any, base: int) -> None:
        self.names: dict[str, Any] = {"read": read, "put_back": put_back}
        """What the texts use."""
        self.base = base
        self._row_type = row_type
        self._values: list[Value] = []
        self._readings: list[Reading] = []
        self._places: list[_Places] = []
        self.width = base
        for number, aggregation in enumerate(aggregations.values()):
            self._places.append(_Places(aggregation, self.width, number, self))
            self.width += aggregation.width
            self.names.update(aggregation.names)
        self._results = tuple(aggregations)

    def reading_of(self, value: Value) -> Reading:
        return self._readings[self._index(value)]

    def name_of(self, value: Value) -> str:
        return "row" if value is None else f"x{self._index(value)}"

    def _index(self, value: Value) -> int:
        for index, known in enumerate(self._values):
            if known is value or (isinstance(value, str) and known == value):
                return index
        name = f"f{len(self._values)}"
        found = reading(value, self._row_type, name)
        if found.function is not None:
            self.names[name] = found.function
        self._values.append(value)
        self._readings.append(found)
        return len(self._values) - 1

    def reads(self) -> Lines:
        """Reads all that the aggregations need of `row`; may raise, and writes nothing."""
        lines = [
            f"x{index} = {found.text}" for index, found in enumerate(self._readings) if self._values[index] is not None
        ]
        return lines + [line for places in self._places for line in places.prepare()]

    @property
    def reads_time(self) -> bool:
        """True: the text needs `t`."""
        lines = [*self.reads(), self.first(), *self.update()]
        return any(_TIME.search(line) for line in lines)

    def first(self) -> str:
        """The items of an accumulator with this row, behind those of its owner."""
        return ", ".join(text for places in self._places for text in places.first())

    def update(self) -> Lines:
        """Adds the row to the accumulator `a`: whatever can raise comes before the first write."""
        early = [each for each in self._places if not each.aggregation.never_raises or each.nullable]
        late = [each for each in self._places if each not in early]
        last = early.pop() if early and early[-1].is_one_value else None
        lines = [line for each in early for line in each.compute()]
        lines += [] if last is None else last.write_at_once()
        lines += [line for each in early for line in each.write()]
        return lines + [line for each in late for line in each.write_at_once()]

    def undo(self) -> Lines:
        """Notes what takes back `update`, which comes next, by `note(function, *arguments)`."""
        return ["note(put_back, a, a.copy())", *(line for each in self._places for line in each.undo())]

    def merge(self) -> Lines:
        """Adds the accumulator `b`, which stays as it is, to `a`."""
        return [line for each in self._places for line in each.merge()]

    def copied(self) -> str:
        """A copy of `a` that shares nothing that changes."""
        return f"[{', '.join([f'*a[:{self.base}]', *(text for each in self._places for text in each.copied())])}]"

    def results(self) -> dict[str, str]:
        """What each aggregation gives, as expressions over `a`."""
        return {name: each.result() for name, each in zip(self._results, self._places, strict=True)}

    def result_types(self) -> dict[str, Any]:
        return {name: each.result_type() for name, each in zip(self._results, self._places, strict=True)}

    def value_types(self) -> dict[str, list[Any]]:
        """The types of the values that each aggregation reads, of the one that decides, without None."""
        return {name: each.types for name, each in zip(self._results, self._places, strict=True)}

    def state_types(self) -> list[Any]:
        """The types of the places, behind those of the owner."""
        return [kind for each in self._places for kind in each.state_types()]


class Accumulators:
    """The same as functions."""

    def __init__(self, code: AccumulatorCode) -> None:
        self.code = code
        names = code.names
        results = "".join(f"{text}, " for text in code.results().values())
        reads, owner = code.reads(), "[*owner, " if code.base else "["
        self.first: Callable[[Any, int, Sequence[Any]], list[Any]] = function(
            "row, t, owner", [*reads, f"return {owner}{code.first()}]"], names
        )
        """An accumulator with one row; `owner`: the items before it."""
        self.update: Callable[[list[Any], Any, int], None] = function("a, row, t", [*reads, *code.update()], names)
        """Adds a row; leaves the accumulator as it was if it raises."""
        self.update_noted: Callable[[list[Any], Any, int, Callable[..., None]], None] = function(
            "a, row, t, note", [*reads, *code.undo(), *code.update()], names
        )
        """The same; what takes it back is given to `note` first."""
        self.copy: Callable[[list[Any]], list[Any]] = function("a", [f"return {code.copied()}"], names)
        self.merge: Callable[[list[Any], list[Any]], None] = function("a, b", code.merge() or ["pass"], names)
        """Adds the second one, which stays as it is, to the first."""
        self.results: Callable[[list[Any]], tuple[Any, ...]] = function("a", [f"return ({results})"], names)


def function(arguments: str, lines: Sequence[str], names: Mapping[str, Any]) -> Any:
    """A function made of generated text."""
    source = "\n".join([f"def generated({arguments}):", *_indented(lines or ["pass"])])
    namespace = dict(names)
    # The text of the aggregations' own; names of fields in it are quoted, or are those of a class.
    exec(compile(source, f"<penstock windows {next(_numbers)}>", "exec"), namespace)
    return namespace["generated"]


def put_back(accumulator: list[Any], before: list[Any]) -> None:
    """Undo: the accumulator has the items that it had."""
    accumulator[:] = before


def _indented(lines: Sequence[str]) -> Lines:
    return ["    " + line for line in lines]
