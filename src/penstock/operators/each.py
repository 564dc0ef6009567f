"""`each`: a function called for its effect; nothing is passed on. What a callable given to `sink` becomes."""

from __future__ import annotations

from typing import Any, ClassVar

from penstock.operators.verb import Becomes, Operator
from penstock.signatures.fields_read import fields_read


class Each(Operator, frozen=True):
    """`fn(row)` is called; its result is dropped."""

    verb: ClassVar[str] = "each"
    becomes: ClassVar[Becomes] = Becomes.NOTHING
    needs_result: ClassVar[str] = ""

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        return fields_read(self.fn, row_class)

    def row_given(self, before: Any) -> Any:
        return None
