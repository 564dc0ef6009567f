"""The results of many keys of a window as columns, named and typed as the rows of results are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from penstock.columns import arrow, table_to_rows
from penstock.operators.windowed.bounds import bound_text
from penstock.operators.windowed.result_rows import END, START, ResultRow
from penstock.signatures.row_classes import fields_of
from penstock.windows.accumulators import function
from penstock.windows.columnar import partials
from penstock.windows.columnar.partials import Partials
from penstock.windows.columnar.readable import NotInColumns, makes_rows


class GivenColumns(msgspec.Struct, frozen=True):
    """Given in the place of rows."""

    table: Any
    row_type: Any

    @property
    def count(self) -> int:
        return int(self.table.num_rows)

    def rows(self) -> list[Any]:
        return table_to_rows(self.table, self.row_type)


def columns_of_results(result: ResultRow, made: Partials, partial: Any, start: int, end: int) -> GivenColumns:
    """The results of a window. Raises `NotInColumns` where rows of them would be other ones."""
    bounds = {START: _bound(result, START, start, partial), END: _bound(result, END, end, partial)}
    results = zip(result.names, made.results(partial), strict=True)
    found = {result.key_field: partial[partials.KEY], **bounds, **dict(results)}
    fields = fields_of(result.type)
    if fields is not None:
        found = {name: column for name, column in found.items() if name in fields}
    if not makes_rows(result.type, list(found)):
        raise NotInColumns
    return GivenColumns(arrow().table(found), result.type)


def _bound(result: ResultRow, name: str, moment: int, partial: Any) -> Any:
    kind = result.bound_type(name)
    if kind is datetime:  # its time zone would be another object
        raise NotInColumns
    value = function("moment", [f"return {bound_text(kind, result.unit, 'moment')}"], {})(moment)
    return arrow().repeat(arrow().scalar(value), partial.num_rows)
