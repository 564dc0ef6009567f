"""`filter`: rows that a function says yes to."""

from __future__ import annotations

from typing import Any, ClassVar

from penstock.operators.verb import Becomes, Operator
from penstock.signatures.annotations import narrowed_by
from penstock.signatures.fields_read import fields_read


class Filter(Operator, frozen=True):
    """`fn(row)` true: the row is passed on as it is."""

    verb: ClassVar[str] = "filter"
    becomes: ClassVar[Becomes] = Becomes.KEPT
    needs_result: ClassVar[str] = "return True or False"
    unawaited: ClassVar[str] = "a coroutine is always true"

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        return fields_read(self.fn, row_class)

    def row_given(self, before: Any) -> Any:
        narrowed = narrowed_by(self.fn)
        return before if narrowed is Any else narrowed
