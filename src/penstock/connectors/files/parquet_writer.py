"""Writes one slot's rows to Parquet files, exactly once; rows wait in a `column_spool` until their file is complete.

The position is `{"file": number, "rows": rows in its spool}`. Every step can be done again: a spool that is gone
because its file was completed, but not committed, is made again from the first rows of that file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from penstock.batch import Batch
from penstock.connectors.files import append_beginning
from penstock.connectors.files.arrow_schema import require_pyarrow, schema_of
from penstock.connectors.files.arrow_tables import ArrowTables
from penstock.connectors.files.column_spool import Spool, common_schema, convert, write_empty
from penstock.connectors.files.part_files import PartFiles
from penstock.connectors.folder_sync import sync_folder_of
from penstock.sink import RowsRejected, Writer


class ParquetWriter(Writer[Any]):
    """One file, or numbered files of about `roll_bytes` each (as Arrow counts them)."""

    def __init__(
        self, files: PartFiles, kind: Any, position: Any, *, roll_bytes: int | None = None, append: bool = False
    ) -> None:
        require_pyarrow()
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
        self._tables = ArrowTables(self._known_schema())

    def write(self, batch: Batch[Any]) -> None:
        if self._roll_bytes is not None and self._spool.length >= self._roll_bytes:
            self._roll()
        table, rejected = self._tables.of(batch)
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
