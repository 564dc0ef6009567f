"""Reads the row groups of one Parquet file as record batches. Opened by the spec in `parquet_files`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.connectors.files.arrow_schema import require_pyarrow
from penstock.connectors.files.content import BLOCK_BYTES, DamagedFile
from penstock.source import EndOfSplit, Reader

_MAX_ROWS = 65536


def open_parquet(path: str) -> Any:
    """A `ParquetFile`. Raises `DamagedFile` where it is none."""
    pyarrow = require_pyarrow()
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(path, memory_map=True)
    except pyarrow.ArrowInvalid as exc:
        raise DamagedFile(path, f"it is no Parquet file ({exc})") from exc


class ParquetReader(Reader[Any]):
    """Rows of the row groups from `start` to `end`; the position is `[row group, rows of it that are read]`."""

    def __init__(self, path: str, position: Any, *, start: int, end: int | None) -> None:
        self._path = path
        self._file = open_parquet(path)
        self._end = self._file.num_row_groups if end is None else end
        self._group: int = start if position is None else position[0]
        self._done: int = 0 if position is None else position[1]
        self._batches: Iterator[Any] | None = None

    def read(self) -> Any:
        while self._group < self._end:
            if self._batches is None:
                self._batches = self._open_group()
            batch = next(self._batches, None)
            if batch is not None:
                self._done += batch.num_rows
                return batch
            self._group, self._done, self._batches = self._group + 1, 0, None
        raise EndOfSplit

    def position(self) -> list[int]:
        return [self._group, self._done]

    def close(self) -> None:
        self._file.close()

    def _open_group(self) -> Iterator[Any]:
        """The batches of the current row group behind the rows that are read."""
        about = self._file.metadata.row_group(self._group)
        row_bytes = max(1, about.total_byte_size // max(1, about.num_rows))
        size = max(1, min(_MAX_ROWS, BLOCK_BYTES // row_bytes))
        skip = self._done
        for batch in self._file.iter_batches(size, row_groups=[self._group], use_threads=False):
            taken = min(skip, batch.num_rows)
            skip -= taken
            if taken < batch.num_rows:
                yield batch.slice(taken)
