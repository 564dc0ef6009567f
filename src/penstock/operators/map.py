"""`map`: one row in, one row out; with `async def`, several rows in flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from penstock.operators.operator import Operator


@dataclass(frozen=True, slots=True)
class Map(Operator):
    """`fn(row)` gives the row that goes on."""

    verb: ClassVar[str] = "map"
