"""`map_batches`: a function over columns: Arrow, polars or pandas, by its annotation."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from penstock import columns
from penstock.operators.batch_operator import BatchOperator, Watched
from penstock.operators.verb import Shape


class MapBatches(BatchOperator, frozen=True):
    """`fn(columns)` gives columns; n rows in, m out, borders of batches mean nothing."""

    verb: ClassVar[str] = "map_batches"
    takes: ClassVar[Shape] = Shape.COLUMNS
    gives: ClassVar[Shape] = Shape.COLUMNS

    library: str = "pyarrow.RecordBatch"
    """What `fn` is given: `pyarrow.RecordBatch`, `pyarrow.Table`, `polars.DataFrame`, `pandas.DataFrame`."""
    type: Any = dict[str, Any]
    """What a row is, once columns become rows again; `dict[str, Any]` or a class made of the columns by name."""

    def over(self, fn: Callable[[Any], Any], batch: Any, watched: Watched) -> Any:
        given = columns.as_library(batch, self.library)
        return columns.as_result(watched(lambda: fn(given)))

    @property
    def row_taken(self) -> Any:
        return Any  # what its argument is annotated with are columns

    def row_given(self, before: Any) -> Any:
        return self.type

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if not self.library:
            what = f"{name} does not say which columns it takes"
            libraries = "pyarrow.RecordBatch, pyarrow.Table, polars.DataFrame or pandas.DataFrame"
            yield what, f"annotate its argument: {libraries}"
        yield from BatchOperator.mistakes(self, name)

    @property
    def modules(self) -> Sequence[str]:
        needed = ["pyarrow", self.library.partition(".")[0]]
        if importlib.util.find_spec("pandas"):
            needed.append("pandas")  # pyarrow looks for it when it makes its first array: 0.2 s in every life
        return needed
