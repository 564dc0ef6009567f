"""Reads the row groups of one Parquet file as record batches. Opened by the spec in `parquet_files`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.connectors.files.arrow_schema import require_pyarrow
from penstock.connectors.files.content import BLOCK_BYTES, open_file
from penstock.connectors.files.unchanged import FileWatch, Seen
from penstock.errors import SourceDamaged
from penstock.source import EndOfSplit, Reader

_MAX_ROWS = 65536


def group_sizes(path: str) -> list[int]:
    """The bytes of each row group. Raises `SourceDamaged` for what is no Parquet file."""
    with os.fdopen(open_file(path), "rb") as raw:
        about = _parquet_of(raw, path).metadata
        return [about.row_group(number).total_byte_size for number in range(about.num_row_groups)]


def _parquet_of(file: Any, path: str) -> Any:
    """A `ParquetFile`, to be closed with `force=True`; closes `file` where it is none."""
    pyarrow = require_pyarrow()
    import pyarrow.parquet as parquet

    # Read, not mapped: touching a mapping of a file that somebody cuts short kills the process.
    try:
        return parquet.ParquetFile(pyarrow.PythonFile(file, mode="r"))
    except (pyarrow.ArrowInvalid, OSError) as exc:
        file.close()
        raise SourceDamaged(path, f"it is not a Parquet file ({exc})") from exc


class ParquetReader(Reader[Any]):
    """Rows of the row groups from `start` to `end`; the position is the row group and the rows of it that are read."""

    def __init__(
        self, path: str, position: Any, *, start: int, end: int | None, planned: Any = None,
        log: logging.Logger | None = None,
    ) -> None:
        self._path = path
        raw = os.fdopen(open_file(path), "rb")
        try:
            self._watch = FileWatch(raw.fileno(), path, log)
            self._size = os.fstat(raw.fileno()).st_size
            self._last = self._seen_before(position, planned, ranged=start > 0 or end is not None)
            self._file = _parquet_of(raw, path)
        except BaseException:
            raw.close()
            raise
        self._end = self._file.num_row_groups if end is None else end
        self._group: int = start if position is None else position["group"]
        self._done: int = 0 if position is None else position["rows"]
        self._batches: Iterator[Any] | None = None

    def _seen_before(self, position: Mapping[str, Any] | None, planned: Any, *, ranged: bool) -> Seen | None:
        """What was known of the file before; its footer stands at its end, so all of it counts as read."""
        if position is not None:
            seen = Seen.load(position["file"])
            self._watch.resumed(seen)
            return seen
        if planned is not None:
            self._watch.planned(planned, whole=not ranged)
        return None

    def read(self) -> Any:
        while self._group < self._end:
            try:
                if self._batches is None:
                    self._batches = self._open_group()
                batch = next(self._batches, None)
            except (require_pyarrow().ArrowException, OSError) as exc:
                raise self._watch.damage(self._size, last=self._last) or SourceDamaged(
                    self._path, f"row group {self._group} cannot be read after its row {self._done} ({exc})"
                ) from exc
            if batch is not None:
                self._done += batch.num_rows
                return batch
            self._group, self._done, self._batches = self._group + 1, 0, None
        damage = self._watch.damage(self._size, last=self._last)
        if damage is not None:
            raise damage
        raise EndOfSplit

    def position(self) -> dict[str, Any]:
        self._last = self._watch.seen(self._size)
        return {"group": self._group, "rows": self._done, "file": self._last.dump}

    def close(self) -> None:
        self._file.close(force=True)

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
