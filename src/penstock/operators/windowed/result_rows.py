"""The rows that windows give: the key, `start`, `end`, and the results by their names, as a class or as a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.operators.windowed.bounds import as_datetime, bound_text, bound_type
from penstock.signatures.row_classes import fields_of, plain_class
from penstock.windows.window import Window

START = "start"
END = "end"


class ResultRow(msgspec.Struct, frozen=True):
    """What a row of results consists of."""

    type: Any
    """The class of the row, or a dict."""
    key_field: str
    names: tuple[str, ...]
    """Of the results, in their order."""
    window: Window
    time: Any
    """The annotation of the rows' own times; `Any` where nobody says."""
    unit: str

    @property
    def is_dict(self) -> bool:
        return plain_class(self.type) is dict or self.type is Any

    def text(self, key: str, start: str, end: str, results: Mapping[str, str]) -> str:
        """An expression that makes the row of these expressions. `start`, `end`: as `bound` makes them."""
        bounds = {START: start, END: end}
        fields = fields_of(self.type)
        if self.is_dict:
            parts = {self.key_field: key, **bounds, **results}
            return f"{{{', '.join(f'{name!r}: {text}' for name, text in parts.items())}}}"
        known = {name: text for name, text in bounds.items() if name in (fields or bounds)}
        keyed = {self.key_field: key} if self.key_field in (fields or {self.key_field: key}) else {}
        return f"ResultType({', '.join(f'{name}={text}' for name, text in {**keyed, **known, **results}.items())})"

    @property
    def code_names(self) -> Mapping[str, Any]:
        """What the text uses."""
        return {"ResultType": self.type, "as_datetime": as_datetime}

    def bound(self, name: str, moment: str) -> str:
        """An expression that makes a bound as rows have it. `moment`: the name of the engine's."""
        if not self.window.needs_time:
            return moment
        return bound_text(self.bound_type(name), self.unit, moment)

    def bound_type(self, name: str) -> type:
        if not self.window.needs_time:
            return int
        return bound_type((fields_of(self.type) or {}).get(name, Any), self.time, self.window, self.unit)
