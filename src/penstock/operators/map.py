"""`map`: one row in, one row out; with `async def`, several rows in flight."""

from __future__ import annotations

from typing import ClassVar

from penstock.operators.operator import Operator


class Map(Operator, frozen=True):
    """`fn(row)` gives the row that goes on."""

    verb: ClassVar[str] = "map"
