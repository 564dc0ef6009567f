"""`map_batches`: a function over columns: Arrow, polars or pandas, by its annotation."""

from __future__ import annotations

from typing import Any, ClassVar

from penstock.operators.operator import Operator, Shape
from penstock.options import Duration


class MapBatches(Operator, frozen=True):
    """`fn(columns)` gives columns; n rows in, m out, borders of batches mean nothing."""

    verb: ClassVar[str] = "map_batches"
    takes: ClassVar[Shape] = Shape.COLUMNS
    gives: ClassVar[Shape] = Shape.COLUMNS
    batch: ClassVar[bool] = True

    library: str = "pyarrow.RecordBatch"
    """What `fn` is given: `pyarrow.RecordBatch`, `pyarrow.Table`, `polars.DataFrame`, `pandas.DataFrame`."""
    type: Any = dict[str, Any]
    """What a row is, once columns become rows again; `dict[str, Any]` or a class made of the columns by name."""
    rows: int | None = None
    """So many rows to a call, where so many wait; None: as many as wait."""
    wait: Duration | None = None
    """How long the stage waits for them."""
