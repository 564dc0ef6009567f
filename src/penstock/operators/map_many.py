"""`map_many`: a function over a list of rows, one result per row."""

from __future__ import annotations

from typing import ClassVar

from penstock.operators.operator import Operator
from penstock.options import Duration


class MapMany(Operator, frozen=True):
    """`fn(rows)` gives as many results, in the same order."""

    verb: ClassVar[str] = "map_many"
    batch: ClassVar[bool] = True

    rows: int | None = None
    """So many rows to a call, where so many wait; None: as many as wait."""
    wait: Duration | None = None
    """How long the stage waits for them."""
