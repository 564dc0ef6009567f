"""What verbs have in common whose function is given many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeAlias

from penstock.operators.verb import Operator
from penstock.options import Duration, parse_duration

Watched: TypeAlias = Callable[[Callable[[], Any]], Any]
"""Runs what is of the user's, or goes through what the user's function gave: only there a time-out may interrupt."""


class BatchOperator(Operator, frozen=True):
    """Each call is given a batch in the shape that it `takes`, and gives one in the shape that it `gives`."""

    batch: ClassVar[bool] = True
    arguments: ClassVar[tuple[str, ...]] = ("the rows",)

    rows: int | None = None
    """How many rows a call gets, if that many wait; None: as many as wait."""
    wait: Duration | None = None
    """How long the stage waits for them."""

    def over(self, fn: Callable[[Any], Any], batch: Any, watched: Watched) -> Any:
        """What comes of a batch: a list of rows, or an Arrow table. It is `watched` that calls `fn`."""
        raise NotImplementedError

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        if self.rows is not None and (not isinstance(self.rows, int) or isinstance(self.rows, bool) or self.rows < 1):
            yield f"{name}: rows={self.rows!r} is not a number of at least 1", "write one like 64"
        if self.wait is not None:
            try:
                parse_duration(self.wait)
            except ValueError as error:
                what, _, remedy = str(error).partition("; ")
                yield f"{name}: wait: {what}", remedy
