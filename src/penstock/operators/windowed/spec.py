"""What a call over windows needs to know, made of the verb once a worker begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.moment_text import MomentText
from penstock.operators.windowed.result_rows import END, START, ResultRow
from penstock.windows.accumulators import AccumulatorCode, Accumulators, function
from penstock.windows.aggregations.aggregation import Aggregation
from penstock.windows.row_reading import Value, reading
from penstock.windows.window import Window


class CallSpec(msgspec.Struct, frozen=True):
    """The window, what is computed, and of which rows."""

    window: Window
    aggregations: Mapping[str, Aggregation]
    result: ResultRow
    row_type: Any
    key: Value
    moment: Callable[[Any], int]
    """The time of a row."""
    moment_text: MomentText = MomentText()
    """The same as text."""
    time_field: str | None = None
    """The field that has it; None: a function gives it."""
    lateness_us: int = 0
    early_us: int | None = None
    """How often windows that are not complete are given; None: never."""
    retracts: bool = False

    def code(self, base: int) -> AccumulatorCode:
        """The text of the accumulators, whose first `base` places are the call's own."""
        return AccumulatorCode(self.aggregations, self.row_type, base)

    def keyed(self, code: AccumulatorCode) -> tuple[str, Mapping[str, Any]]:
        """An expression for the key of `row`, and the names that it uses."""
        found = reading(self.key, self.row_type, "key_of")
        return found.text, {
            **code.names, **self.moment_text.names, "key_of": found.function, "moment": self.moment,
        }

    def rows_of_window(self, code: AccumulatorCode, key: str) -> Callable[[int, int], Callable[[list[Any]], Any]]:
        """`(start, end)` -> (accumulator -> the row of its results). `key`: an expression over the accumulator `a`."""
        result = self.result
        lines = [
            f"s, e = {result.bound(START, 'start')}, {result.bound(END, 'end')}",
            f"def row_of(a): return {result.text(key, 's', 'e', code.results())}",
            "return row_of",
        ]
        made: Callable[[int, int], Callable[[list[Any]], Any]] = function(
            "start, end", lines, {**code.names, **result.code_names}
        )
        return made

    def row_of_values(self) -> Callable[[Any, int, int, Sequence[Any]], Any]:
        """`(key, start, end, results)` -> their row."""
        results = {name: f"values[{index}]" for index, name in enumerate(self.aggregations)}
        bounds = self.result.bound(START, "start"), self.result.bound(END, "end")
        text = self.result.text("key", *bounds, results)
        made: Callable[[Any, int, int, Sequence[Any]], Any] = function(
            "key, start, end, values", [f"return {text}"], self.result.code_names
        )
        return made

    def accumulators(self, base: int) -> Accumulators:
        return Accumulators(self.code(base))


def put_late(call: KeyedCall, late: int) -> None:
    """Undo: so many rows were late."""
    call.late = late
