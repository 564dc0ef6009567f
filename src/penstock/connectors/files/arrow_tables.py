"""Batches as Arrow tables of one schema, which is learned from the first rows; rows that do not fit are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.batch import Batch, Lines, rows_of
from penstock.connectors.files.arrow_schema import (
    changes_zone,
    has_empty_struct,
    plain_rows,
    record_batch,
    require_pyarrow,
    schema_of,
)
from penstock.ctrl_c import is_ctrl_c


class ArrowTables:
    """Makes tables for the Parquet files of one writer."""

    def __init__(self, schema: Any | None) -> None:
        """`schema`: what is known of the columns already."""
        self._pyarrow = require_pyarrow()
        self.schema = schema

    def of(self, batch: Batch[Any]) -> tuple[Any | None, dict[int, str]]:
        """(the rows that fit as a table, or None; by index, why the others do not)."""
        table = self._whole(batch)
        if table is not None:
            return table, {}
        if hasattr(batch, "__arrow_c_stream__"):
            return self._columns_by_row(self._pyarrow.table(batch))
        return self._by_row(rows_of(batch))

    def _learned(self, table: Any) -> Any:
        """The table; its columns, where they were not known, are known from here on."""
        known = self.schema
        learned = table.schema if known is None else self._pyarrow.unify_schemas([known, table.schema])
        if known is None or learned != known:
            self._require_writable(learned)
        self.schema = learned
        return table

    def _require_writable(self, schema: Any) -> None:
        """Raise Arrow's error for a type that Parquet does not have: rows are rejected by it, not the whole file."""
        import pyarrow.parquet as parquet

        parquet.write_table(schema.empty_table(), self._pyarrow.BufferOutputStream())

    def _whole(self, batch: Batch[Any]) -> Any | None:
        """All rows at once; None: some do not fit."""
        try:
            if hasattr(batch, "__arrow_c_stream__"):
                return self._learned(self._cast(self._pyarrow.table(batch)))
            rows = [{"value": line} for line in batch.split()] if isinstance(batch, Lines) else rows_of(batch)
            self._expect(rows)
            return self._learned(self._table(plain_rows(rows)))
        except BaseException as exc:  # of whichever row: found one by one
            if is_ctrl_c(exc):
                raise
            return None

    def _cast(self, table: Any) -> Any:
        if any(has_empty_struct(field.type) for field in table.schema):
            return self._table(table.to_pylist(maps_as_pydicts="strict"))
        if self.schema is None or table.schema == self.schema:
            return table
        if set(table.column_names) != set(self.schema.names):
            return self._table(table.to_pylist(maps_as_pydicts="strict"))
        for field in self.schema:
            given = table.schema.field(field.name).type
            if changes_zone(given, field.type) and table[field.name].null_count < table.num_rows:
                raise ValueError(f"column {field.name!r} is {given} and does not fit the column's type {field.type}")
        is_null = self._pyarrow.types.is_null
        columns = [
            table[field.name] if is_null(field.type) else table[field.name].cast(field.type) for field in self.schema
        ]
        return self._pyarrow.table(columns, names=self.schema.names)

    def _table(self, rows: list[dict[str, Any]]) -> Any:
        return self._pyarrow.Table.from_batches([record_batch(rows, self.schema)])

    def _expect(self, rows: Sequence[Any]) -> None:
        """Take the columns from the class of the first row, where nothing told of them before."""
        if self.schema is None and rows and not isinstance(rows[0], dict):
            self.schema = schema_of(type(rows[0]))

    def _columns_by_row(self, table: Any) -> tuple[Any | None, dict[int, str]]:
        """The same of columns, whose values stay Arrow's."""
        good: list[int] = []
        rejected: dict[int, str] = {}
        for index in range(table.num_rows):
            try:
                self._learned(self._cast(table.slice(index, 1)))
                good.append(index)
            except BaseException as exc:  # Arrow errors
                if is_ctrl_c(exc):
                    raise
                rejected[index] = f"{type(exc).__name__}: {exc}"
        return (self._cast(table.take(good)) if good else None), rejected

    def _by_row(self, rows: Sequence[Any]) -> tuple[Any | None, dict[int, str]]:
        """The rows that fit, and why the others do not, by index."""
        good: list[dict[str, Any]] = []
        rejected: dict[int, str] = {}
        for index, row in enumerate(rows):
            try:
                plain = plain_rows([row])
                self._learned(self._table(plain))
                good += plain
            except BaseException as exc:  # Arrow errors, and whatever a property of the user's class raises
                if is_ctrl_c(exc):
                    raise
                rejected[index] = f"{type(exc).__name__}: {exc}"
        return (self._table(good) if good else None), rejected
