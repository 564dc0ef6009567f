"""`sql`: a SELECT over each batch of columns, which may be joined with tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from penstock import columns
from penstock.errors import ExtraMissing
from penstock.names import did_you_mean
from penstock.operators.batch_operator import BatchOperator, Watched
from penstock.operators.verb import Asked, Shape
from penstock.signatures.annotations import shown
from penstock.signatures.row_classes import can_take, fields_of, required_fields
from penstock.source import Source

BATCH = "batch"
_SHOWN = 40


class Sql(BatchOperator, frozen=True):
    """DuckDB runs `query`, to which a batch is the table `batch`."""

    verb: ClassVar[str] = "sql"
    takes: ClassVar[Shape] = Shape.COLUMNS
    gives: ClassVar[Shape] = Shape.COLUMNS
    has_function: ClassVar[bool] = False

    query: str = ""
    type: Any = dict[str, Any]
    """What a row is afterwards."""
    tables: tuple[tuple[str, Source[Any] | None], ...] = ()
    """Beside the batch, by their names; None: nothing that can be read was given."""
    row_type: Any = Any
    """Of the rows that it is given; the planner says."""

    @property
    def name(self) -> str:
        text = " ".join(self.query.split()) if isinstance(self.query, str) else repr(self.query)
        return f"sql({text if len(text) <= _SHOWN else text[:_SHOWN] + '…'!r})"

    def knowing(self, row_type: Any) -> Self:
        return replace(self, row_type=row_type)

    @property
    def row_taken(self) -> Any:
        return Any

    def row_given(self, before: Any) -> Any:
        return self.type

    @property
    def asks(self) -> Sequence[Asked]:
        return [Asked(f"table {name!r}", source.check_source) for name, source in self.tables if source is not None]

    @property
    def carries(self) -> Sequence[Any]:
        return self.tables

    @property
    def modules(self) -> Sequence[str]:
        used = [module for _, source in self.tables if source is not None for module in source.modules]
        return ("penstock.operators.queried.sql_call", "duckdb", "pyarrow", *used)

    def function(self) -> Callable[[Any], Any]:
        from penstock.operators.queried.sql_call import SqlCall  # workers alone need it

        return SqlCall(self.query, self.row_type, {name: table for name, table in self.tables if table is not None})

    def over(self, fn: Callable[[Any], Any], batch: Any, watched: Watched) -> Any:
        given = columns.as_table(batch)
        return watched(lambda: fn(given))

    # What can be wrong with it.

    def mistakes_with(self, row_type: Any) -> Iterator[tuple[str, str]]:
        for what, remedy in self.knowing(row_type).query_mistakes():
            yield f"{self.name}: {what}", remedy

    def query_mistakes(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the query, as far as is known before anything runs."""
        if not isinstance(self.query, str):
            yield f"the query is {self.query!r}", "write it as text: SELECT ... FROM batch"
            return
        found = [*self._table_mistakes()]
        if found:
            yield from found
            return
        from penstock.operators.queried.query_check import check, place  # it loads DuckDB

        types = {name: source.row_type for name, source in self.tables if source is not None}
        try:
            checked = check(self.query, self.row_type, types)
        except ExtraMissing as error:
            what, _, remedy = str(error).partition("; ")
            yield what, remedy
            return
        for problem in checked.problems:
            where = place(self.query, problem.at)
            yield f"{problem.what}{f' ({where})' if where else ''}", problem.remedy
        if checked.columns is not None:
            yield from self._result_mistakes(checked.columns)

    def _table_mistakes(self) -> Iterator[tuple[str, str]]:
        names = [name.lower() for name, _ in self.tables]
        for name, source in self.tables:
            if source is None:
                remedy = 'pass a source such as files.csv("users.csv", User), or a list of rows'
                yield f"table {name!r} is nothing that can be read", remedy
            elif not source.bounded:
                yield f"table {name!r} never ends, so it cannot be loaded", "pass a source that ends"
            if name.lower() == BATCH or names.count(name.lower()) > 1:
                yield f"the name of table {name!r} is taken", "give it another one"

    def _result_mistakes(self, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """`given`: the columns, with their SQL types."""
        fields = fields_of(self.type)
        if fields is None:
            return
        from penstock.operators.queried.duckdb_session import cast_to, given_type

        for name, sql_type in given.items():
            if name not in fields:
                yield f"{shown(self.type)} has no field {name!r}", did_you_mean(name, fields)
            elif not can_take(fields[name], given_type(sql_type)):
                what = f"field {name!r} of {shown(self.type)} is {shown(fields[name])}, but the column is {sql_type}"
                cast = cast_to(fields[name])
                yield what, f"write CAST(... AS {cast}) AS {name}" if cast else "change the field, or the query"
        for name in required_fields(self.type):
            if name not in given:
                yield f"nothing gives field {name!r} of {shown(self.type)}", did_you_mean(name, given)
