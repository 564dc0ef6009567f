"""`flat_map`: one row in, any number out."""

from __future__ import annotations

from typing import ClassVar

from penstock.operators.operator import Operator


class FlatMap(Operator, frozen=True):
    """`fn(row)` gives an iterable (never a str or bytes) of rows that go on, all or none."""

    verb: ClassVar[str] = "flat_map"
