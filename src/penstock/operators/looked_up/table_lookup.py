"""`lookup` in a table of a database, which is asked for the keys of many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from penstock.lookup_table import LookupTable
from penstock.operators.batch_operator import BatchOperator, Watched
from penstock.operators.looked_up.lookup import How, Pairs, key_function
from penstock.operators.verb import Asked
from penstock.options import Duration, parse_duration
from penstock.windows.row_reading import Value


class TableLookup(Pairs, BatchOperator, frozen=True):
    """`table` says how to ask; what was found is kept for a while."""

    waits: ClassVar[bool] = True

    key: Value = None
    on: Value = None
    how: How = "inner"
    table: LookupTable[Any] | None = None
    reload: Duration | None = None
    """Without effect."""

    @property
    def target(self) -> str:
        return "" if self.table is None else self.table.target

    @property
    def table_type(self) -> Any:
        return Any if self.table is None else self.table.row_type

    @property
    def asks(self) -> Sequence[Asked]:
        return () if self.table is None else (Asked(self.table.label, self.table.check_table),)

    @property
    def carries(self) -> Sequence[Any]:
        return (self.table, *((self.key,) if callable(self.key) else ()))

    @property
    def modules(self) -> Sequence[str]:
        return () if self.table is None else ("penstock.operators.looked_up.asking", *self.table.modules)

    def function(self) -> Callable[[Any], Any]:
        from penstock.operators.looked_up.asking import Asking  # workers alone need it
        from penstock.operators.looked_up.cache import Cache

        assert self.table is not None and isinstance(self.on, str)
        cache = Cache(self.table.cache_keys, parse_duration(self.table.max_age))
        return Asking(self.table, self.on, key_function(self.key), cache, is_left=self.how == "left")

    def over(self, fn: Callable[[Any], Any], batch: Any, watched: Watched) -> Any:
        return watched(lambda: fn(batch))

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        yield from Pairs.mistakes(self, name)
        assert self.table is not None
        if not isinstance(self.on, str):
            yield f"{name}: a database is asked by a column", 'name it: on="id"'
        if self.reload is not None:
            yield f"{name}: reload has no effect: what was found is kept for max_age", "give max_age to the table"
        keys = self.table.cache_keys
        if not isinstance(keys, int) or isinstance(keys, bool) or keys < 0:
            yield f"{name}: cache_keys={keys!r} is not a number of keys", "write one like 100_000"
        try:
            parse_duration(self.table.max_age)
        except ValueError as error:
            what, _, remedy = str(error).partition("; ")
            yield f"{name}: max_age: {what}", remedy
