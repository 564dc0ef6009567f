"""Columns on their way into a Parquet file: a hidden file of Arrow streams, which can be cut to a length at any time.

A Parquet file without its footer cannot be read, so rows wait here and are converted when their file is complete. Each
write is a whole Arrow stream of its own; so the columns of a later one may differ where an earlier one held only nulls.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from penstock.connectors.files.arrow_schema import require_pyarrow
from penstock.connectors.files.part_files import require_length, require_still
from penstock.connectors.folder_sync import sync_folder_of
from penstock.errors import TargetDamaged

_GROUP_BYTES = 16 * 1024 * 1024
"""Arrow bytes of one row group, about."""


class Spool:
    """One spool, opened for appending behind its first `rows` rows; what lies beyond is cut away."""

    def __init__(self, path: str, rows: int) -> None:
        self.path = path
        self.rows = rows
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self.length = _length_of(path, rows)
            os.ftruncate(self._fd, self.length)
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, table: Any) -> None:
        """Write columns and hand them to the operating system."""
        pyarrow = require_pyarrow()
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        data = memoryview(sink.getvalue())
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._fd, data[done:], self.length + done)
        except OSError as exc:
            os.ftruncate(self._fd, self.length)
            raise OSError(exc.errno, exc.strerror, self.path) from exc
        self.length += done
        self.rows += table.num_rows

    def require_still(self) -> None:
        """Raise `TargetDamaged` where it was removed or replaced meanwhile."""
        require_still(self._fd, self.path)
        require_length(self._fd, self.path, self.length)

    def sync(self) -> None:
        """Have its bytes on the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _length_of(path: str, rows: int) -> int:
    """The bytes that the first `rows` rows take."""
    if rows == 0:
        return 0
    pyarrow = require_pyarrow()
    size, found = os.path.getsize(path), 0
    if size:
        with pyarrow.memory_map(path) as source:
            try:
                while found < rows and source.tell() < size:
                    found += pyarrow.ipc.open_stream(source).read_all().num_rows
            except (pyarrow.ArrowInvalid, OSError) as exc:
                raise TargetDamaged(path, f"it ends after {found} of {rows} rows") from exc
            if found == rows:
                return int(source.tell())
    raise TargetDamaged(path, f"{rows} rows were written to it, but it has {found}")


def tables(path: str) -> Iterator[Any]:
    """What was appended, one table each."""
    pyarrow = require_pyarrow()
    size = os.path.getsize(path)
    if size == 0:
        return
    with pyarrow.memory_map(path) as source:
        while source.tell() < size:
            yield pyarrow.ipc.open_stream(source).read_all()


def common_schema(path: str) -> Any | None:
    """The schema that all tables of a spool fit; None: it is empty."""
    pyarrow = require_pyarrow()
    schemas: list[Any] = []
    for table in tables(path):
        if not schemas or table.schema != schemas[-1]:
            schemas.append(table.schema)
    return pyarrow.unify_schemas(schemas) if schemas else None


def convert(path: str, target: str, new: str) -> int:
    """Make the Parquet file `target` of a spool, by way of `new`; how many rows. The same spool gives the same file."""
    import pyarrow.parquet as parquet

    pyarrow = require_pyarrow()
    rows = 0
    with parquet.ParquetWriter(new, common_schema(path) or pyarrow.schema([])) as writer:
        for group in _groups(path, writer.schema):
            rows += group.num_rows
            writer.write_table(group, row_group_size=max(1, group.num_rows))
    with open(new, "rb") as written:
        os.fsync(written.fileno())
    os.rename(new, target)
    sync_folder_of(target)
    return rows


def write_empty(target: str, new: str, schema: Any) -> None:
    """Make the Parquet file `target` with these columns and no rows, by way of `new`."""
    import pyarrow.parquet as parquet

    parquet.write_table(schema.empty_table(), new)
    with open(new, "rb") as written:
        os.fsync(written.fileno())
    os.rename(new, target)
    sync_folder_of(target)


def _groups(path: str, schema: Any) -> Iterator[Any]:
    """The tables of a spool, cast to one schema and joined to row groups."""
    pyarrow = require_pyarrow()
    waiting: list[Any] = []
    size = 0
    for table in tables(path):
        waiting.append(table.cast(schema))
        size += table.nbytes
        if size >= _GROUP_BYTES:
            yield pyarrow.concat_tables(waiting)
            waiting, size = [], 0
    if waiting:
        yield pyarrow.concat_tables(waiting)
