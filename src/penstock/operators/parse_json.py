"""`parse_json`: text to objects."""

from __future__ import annotations

from typing import Any, ClassVar

from penstock.operators.operator import Operator


class ParseJson(Operator, frozen=True):
    """Each row (str or bytes) is one JSON document, decoded and checked against `type`. `fn` is None."""

    verb: ClassVar[str] = "parse_json"

    type: Any = Any

    @property
    def name(self) -> str:
        shown = getattr(self.type, "__name__", str(self.type))
        return f"parse_json({shown})"
