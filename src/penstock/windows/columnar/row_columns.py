"""Rows in columns, as the aggregations of a window read them; each column is looked at once."""

from __future__ import annotations

from typing import Any

from penstock.columns import arrow, compute
from penstock.windows.columnar.readable import NotInColumns, numbers, plain


class RowColumns:
    """The rows of a batch that are counted."""

    def __init__(self, table: Any, times: Any) -> None:
        """`times`: of each row, in microseconds."""
        self._table = table
        self.times = times
        self._values: dict[str, Any] = {}
        self._numbers: dict[int, Any] = {}
        self._taken: dict[tuple[int, str], Any] = {}
        self._kept: list[Any] = []

    def values(self, field: str) -> Any:
        """A column, of one of the types that are computed with. Raises `NotInColumns`."""
        found = self._values.get(field)
        if found is None:
            found = self._values[field] = plain(self._column(field))
        return found

    def there(self, field: str | None) -> Any:
        """True where a field is not null, and null where it is; all true without a field."""
        pa, pc = arrow(), compute()
        if field is None:
            return pa.repeat(pa.scalar(True), self._table.num_rows)
        column = self._column(field)
        return pc.if_else(pc.is_valid(column), pa.scalar(True), pa.scalar(None, pa.bool_()))

    def numbers(self, values: Any) -> Any:
        """As `readable.numbers`."""
        found = self._numbers.get(id(values))
        if found is None:
            found = self._numbers[id(values)] = numbers(values)
            self._kept.append(values)
        return found

    def taken(self, values: Any, where: Any) -> Any:
        """The values, null where the field `where` is not true."""
        if where is None:
            return values
        found = self._taken.get((id(values), where))
        if found is None:
            pa, pc = arrow(), compute()
            condition = self._column(where)
            if not pa.types.is_boolean(condition.type):
                raise NotInColumns
            found = pc.if_else(pc.fill_null(condition, False), values, pa.scalar(None, values.type))
            self._taken[id(values), where] = found
            self._kept.append(values)
        return found

    def _column(self, field: str) -> Any:
        if field not in self._table.column_names:
            raise NotInColumns
        return self._table.column(field)
