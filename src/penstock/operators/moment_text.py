"""The time of a row as generated text: for the usual types of fields without a call of Python, which costs the most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from penstock.signatures.row_classes import plain_class
from penstock.windows.row_reading import reading

_EXACT: Final = 1 << 52
"""Microseconds that a float tells apart: to the year 2112. Times beyond are left to `moment`, which is exact."""
EXACT_TIMESTAMP: Final = (1 << 32) * 1_000_000
"""As above, for the seconds that `timestamp()` gives: from 2106 on, a float of seconds is no longer fine enough."""
MICROSECONDS: Final[Mapping[str, int]] = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Of each unit. Of nanoseconds, `moment` makes what they are."""


class MomentText(msgspec.Struct, frozen=True):
    """How the time of a row is read. Without a class, the function `moment` is asked about each row.

    It is also asked about what is not of the class that the row's type says, and what is no moment, or hardly one.
    """

    field: str = ""
    """What follows the name of the row to read its field."""
    kind: type | None = None
    """The class that the value usually has."""
    usual: str = "True"
    """What else must hold for it, as a condition over `v`, the value."""
    time: str = ""
    """A condition that puts its time into `t`; false: a float is not fine enough for it."""

    def lines(self) -> Sequence[str]:
        """Statements that make `t`, the time of `row`, and `v`."""
        if self.kind is None:
            return ["t = moment(row)"]
        return [f"v = row{self.field}", f"if not ({self.is_usual('v')} and {self.time}): t = moment(row)"]

    def expression(self, row: str, otherwise: str) -> str:
        """The time of the row in a variable. `otherwise`: an expression that asks `moment`."""
        if self.kind is None:
            return otherwise
        return f"(t if {self.is_usual(f'(v := {row}{self.field})')} and {self.time} else {otherwise})"

    def is_usual(self, value: str) -> str:
        """A condition: it has the usual class, and is a moment at all. `value`: an expression that makes `v`."""
        assert self.kind is not None
        return f"{value}.__class__ is {self.kind.__name__} and {self.usual}"

    @property
    def names(self) -> Mapping[str, Any]:
        """What these use, apart from `moment`."""
        return {"datetime": datetime, "UTC": UTC} if self.kind is datetime else {}


def moment_text(event_time: Any, row_type: Any) -> MomentText:
    """For rows of a type. `event_time`: the operator `EventTime`; None: they have no times."""
    field = None if event_time is None else event_time.field
    if field is None or event_time.unit not in MICROSECONDS:
        return MomentText()
    found, factor = reading(field, row_type, ""), MICROSECONDS[event_time.unit]
    kind, of_row = plain_class(found.type), found.text.removeprefix("row")
    if kind is datetime:
        made = "round(v.timestamp() * 1000000.0)"
        return MomentText(of_row, datetime, "v.tzinfo is UTC", f"0 <= (t := {made}) < {EXACT_TIMESTAMP}")
    if kind is int or kind is float:
        made = f"v * {factor}" if kind is int else f"round(v * {float(factor)})"
        return MomentText(of_row, kind, f"0 <= v < {_EXACT // factor}", f"(t := {made}) >= 0")
    return MomentText()
