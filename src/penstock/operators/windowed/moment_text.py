"""The time of a row as generated text: for the usual types of fields without a call of Python, which costs the most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from penstock.signatures.row_classes import plain_class
from penstock.windows.row_reading import reading

_EXACT: Final = 1 << 52
"""Microseconds that a float tells apart: to the year 2112. Times beyond are left to `moment`, which is exact."""
_EXACT_TIMESTAMP: Final = (1 << 32) * 1_000_000
"""As above, for the seconds that `timestamp()` gives: from 2106 on, a float of seconds is no longer fine enough."""
_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Of each unit. Of nanoseconds, `moment` makes what they are."""


def moment_text(event_time: Any, row_type: Any) -> tuple[Sequence[str], Mapping[str, Any]]:
    """Statements that make `t`, the time of `row`, and the names that they use apart from `moment(row)`.

    What is not of the class that the row's type says, and what is no moment, or hardly one, is looked at by `moment`.
    """
    field = None if event_time is None else event_time.field
    if field is None or event_time.unit not in _MICROSECONDS:
        return ["t = moment(row)"], {}
    found, factor = reading(field, row_type, ""), _MICROSECONDS[event_time.unit]
    kind = plain_class(found.type)
    if kind is datetime:
        usual = "v.__class__ is datetime and v.tzinfo is UTC"
        made = "(t := round(v.timestamp() * 1000000.0))"
        return [f"v = {found.text}", f"if not ({usual} and 0 <= {made} < {_EXACT_TIMESTAMP}): t = moment(row)"], {
            "datetime": datetime, "UTC": UTC,
        }
    if kind is int or kind is float:
        made = f"v * {factor}" if kind is int else f"round(v * {float(factor)})"
        usual = f"v.__class__ is {kind.__name__} and 0 <= v < {_EXACT // factor}"
        return [f"v = {found.text}", f"t = {made} if {usual} else moment(row)"], {}
    return ["t = moment(row)"], {}
