"""`map_many`: a function over a list of rows, one result per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar

from penstock.operators.batch_operator import BatchOperator, Watched
from penstock.signatures.annotations import element_of, returned_by, shown, taken_by
from penstock.signatures.row_classes import can_take


class MapMany(BatchOperator, frozen=True):
    """`fn(rows)` gives as many results, in the same order."""

    verb: ClassVar[str] = "map_many"

    def over(self, fn: Callable[[Any], Any], batch: list[Any], watched: Watched) -> list[Any]:
        # A list of its own: what the function takes out of it, or puts into it, is no business of the batch.
        # A generator that it gives runs inside `watched`, too.
        rows: list[Any] = watched(lambda: _as_many(fn(list(batch)), len(batch)))
        return rows

    @property
    def row_taken(self) -> Any:
        return element_of(taken_by(self.fn))

    def row_given(self, before: Any) -> Any:
        return element_of(returned_by(self.fn))

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        yield from BatchOperator.mistakes(self, name)
        taken = taken_by(self.fn)
        if not can_take(list, taken):
            remedy = f"annotate its argument list[{shown(taken)}], or use .map"
            yield f"{name} takes {shown(taken)}, but is given a list of rows", remedy


def _as_many(result: Any, expected: int) -> list[Any]:
    if isinstance(result, (str, bytes, dict, set, frozenset)):  # characters, keys, or no order to tell whose they are
        raise TypeError(f"a map_many function returned {type(result).__name__}; return a list, one result per row")
    results = list(islice(result, expected + 1))  # a generator may never end
    if len(results) != expected:
        many = f"{len(results)}" if len(results) < expected else "more"
        raise ValueError(f"a map_many function returned {many} results for {expected} rows; return one per row")
    return results
