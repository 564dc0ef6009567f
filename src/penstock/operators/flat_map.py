"""`flat_map`: one row in, any number out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from penstock.operators.operator import Operator


@dataclass(frozen=True, slots=True)
class FlatMap(Operator):
    """`fn(row)` gives an iterable (never a str or bytes) of rows that go on, all or none."""

    verb: ClassVar[str] = "flat_map"
