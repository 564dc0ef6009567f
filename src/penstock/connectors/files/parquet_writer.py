"""Writes one slot's rows to Parquet files, exactly once; rows wait in a `column_spool` until their file is complete.

The position is `{"file": number, "rows": rows in its spool}`. Every step can be done again: a spool that is gone
because its file was completed, but not committed, is made again from the first rows of that file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.batch import Batch, Lines, rows_of
from penstock.connectors.files import append_beginning
from penstock.connectors.files.arrow_schema import (
    changes_zone,
    has_empty_struct,
    plain_rows,
    record_batch,
    require_pyarrow,
    schema_of,
)
from penstock.connectors.files.column_spool import Spool, common_schema, convert, write_empty
from penstock.connectors.files.part_files import PartFiles
from penstock.connectors.folder_sync import sync_folder_of
from penstock.ctrl_c import is_ctrl_c
from penstock.sink import RowsRejected, Writer


class ParquetWriter(Writer[Any]):
    """One file, or numbered files of about `roll_bytes` each (as Arrow counts them)."""

    def __init__(
        self, files: PartFiles, kind: Any, position: Any, *, roll_bytes: int | None = None, append: bool = False
    ) -> None:
        self._pyarrow = require_pyarrow()
        self._files = files
        self._roll_bytes = roll_bytes
        self._declared = schema_of(kind)
        self._finished = False
        files.make_directory()
        if position is not None:
            self._number, rows = position["file"], position["rows"]
            append_beginning.forget(files)
        else:
            (self._number, _), rows = append_beginning.beginning(files, append=append), 0
        for number in files.numbers():
            if number > self._number:
                files.remove(number)
        # One file with columns and no rows, where nothing is to be written: who reads the directory finds its columns.
        self._is_first = self._number == 0 and files.slot == 0 and not append
        self._spool = self._open(rows)
        self._schema = self._known_schema()

    def write(self, batch: Batch[Any]) -> None:
        if self._roll_bytes is not None and self._spool.length >= self._roll_bytes:
            self._roll()
        rejected: dict[int, str] = {}
        table = self._whole(batch)
        if table is None and hasattr(batch, "__arrow_c_stream__"):
            table, rejected = self._columns_by_row(self._pyarrow.table(batch))
        elif table is None:
            table, rejected = self._by_row(rows_of(batch))
        if table is not None and table.num_rows:
            self._spool.append(table)
        if rejected:
            raise RowsRejected(rejected)

    def position(self) -> dict[str, int]:
        if not self._finished:
            self._spool.require_still()
        return {"file": self._number, "rows": self._spool.rows}

    def finish(self) -> None:
        if self._spool.rows and not os.path.exists(self._files.name(self._number)):
            self._spool.require_still()
        self._finished = True
        if self._spool.rows and os.path.exists(self._spool.path):
            self._complete()
        elif self._is_first and not self._spool.rows and self._declared is not None:
            write_empty(self._files.name(self._number), self._files.hidden(self._number, "new"), self._declared)
        Path(self._spool.path).unlink(missing_ok=True)
        append_beginning.forget(self._files)

    def close(self) -> None:
        self._spool.close()

    def _open(self, rows: int) -> Spool:
        """The current file's spool as it was committed."""
        done = self._files.name(self._number)
        path = self._files.hidden(self._number, "spool")
        if rows and not os.path.exists(path) and os.path.exists(done):
            return self._again(path, done, rows)
        spool = Spool(path, rows)
        Path(done).unlink(missing_ok=True)  # completed, but not committed: it may hold rows beyond the position
        return spool

    def _again(self, path: str, done: str, rows: int) -> Spool:
        """Killed after the file was completed: its first rows are those that the position counts."""
        import pyarrow.parquet as parquet

        new = path + ".new"
        spool = Spool(new, 0)
        spool.append(parquet.read_table(done, use_threads=False).slice(0, rows))
        spool.sync()
        os.rename(new, path)
        sync_folder_of(path)
        spool.path = path
        Path(done).unlink()
        return spool

    def _complete(self) -> None:
        convert(self._spool.path, self._files.name(self._number), self._files.hidden(self._number, "new"))

    def _roll(self) -> None:
        self._complete()
        self._spool.close()
        os.unlink(self._spool.path)
        self._number += 1
        self._is_first = False
        self._spool = self._open(0)

    def _known_schema(self) -> Any | None:
        """What columns there are: by the type, and by the rows already written."""
        written = common_schema(self._spool.path) if self._spool.length else None
        return written or self._declared

    def _learned(self, table: Any) -> Any:
        """The table; its columns, where they were not known, are known from here on."""
        known = self._schema
        learned = table.schema if known is None else self._pyarrow.unify_schemas([known, table.schema])
        if known is None or learned != known:
            self._require_writable(learned)
        self._schema = learned
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
        if self._schema is None or table.schema == self._schema:
            return table
        if set(table.column_names) != set(self._schema.names):
            return self._table(table.to_pylist(maps_as_pydicts="strict"))
        for field in self._schema:
            given = table.schema.field(field.name).type
            if changes_zone(given, field.type) and table[field.name].null_count < table.num_rows:
                raise ValueError(f"column {field.name!r} is {given} and does not fit the column's type {field.type}")
        is_null = self._pyarrow.types.is_null
        columns = [
            table[field.name] if is_null(field.type) else table[field.name].cast(field.type) for field in self._schema
        ]
        return self._pyarrow.table(columns, names=self._schema.names)

    def _table(self, rows: list[dict[str, Any]]) -> Any:
        return self._pyarrow.Table.from_batches([record_batch(rows, self._schema)])

    def _expect(self, rows: Sequence[Any]) -> None:
        """Take the columns from the class of the first row, where nothing told of them before."""
        if self._schema is None and rows and not isinstance(rows[0], dict):
            self._schema = schema_of(type(rows[0]))

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
