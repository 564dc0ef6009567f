"""What a call over windows needs to know, made of the verb once a worker begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.operators.keyed_operator import KeyedCall
from penstock.operators.windowed.result_rows import ResultRow
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
    moment_text: tuple[Sequence[str], Mapping[str, Any]] = (("t = moment(row)",), {})
    """The same as text that makes `t`, and what the text uses."""
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
            **code.names, **self.moment_text[1], "key_of": found.function, "moment": self.moment,
        }

    def row_of(self, code: AccumulatorCode, key: str) -> Callable[[list[Any], int, int], Any]:
        """`(accumulator, start, end)` -> the row of its results. `key`: an expression over the accumulator `a`."""
        text = self.result.text(key, "start", "end", code.results())
        made: Callable[[list[Any], int, int], Any] = function(
            "a, start, end", [f"return {text}"], {**code.names, **self.result.code_names}
        )
        return made

    def row_of_values(self) -> Callable[[Any, int, int, Sequence[Any]], Any]:
        """`(key, start, end, results)` -> their row."""
        results = {name: f"values[{index}]" for index, name in enumerate(self.aggregations)}
        text = self.result.text("key", "start", "end", results)
        made: Callable[[Any, int, int, Sequence[Any]], Any] = function(
            "key, start, end, values", [f"return {text}"], self.result.code_names
        )
        return made

    def accumulators(self, base: int) -> Accumulators:
        return Accumulators(self.code(base))


def put_late(call: KeyedCall, late: int) -> None:
    """Undo: so many rows were late."""
    call.late = late
