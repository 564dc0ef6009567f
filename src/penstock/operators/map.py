"""`map`: one row in, one row out; with `async def`, several rows in flight."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import ClassVar

from penstock.operators.verb import Operator
from penstock.signatures.callables import function_of
from penstock.signatures.fields_read import fields_read


class Map(Operator, frozen=True):
    """`fn(row)` returns the row to pass on."""

    verb: ClassVar[str] = "map"
    awaits: ClassVar[bool] = True

    def fields_read(self, row_class: type) -> frozenset[str] | None:
        return fields_read(self.fn, row_class)

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if inspect.isgeneratorfunction(function_of(self.fn)):
            yield f"{name} returns a generator for each row", "use .flat_map to have its items as rows"
