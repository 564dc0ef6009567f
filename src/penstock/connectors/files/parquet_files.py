"""`files.parquet`: columns in Parquet files, to read or to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, overload

from penstock.connectors.files import part_files as targets
from penstock.connectors.files import paths
from penstock.connectors.files.arrow_schema import require_pyarrow, schema_of
from penstock.connectors.files.epoch_writer import ParquetForm
from penstock.connectors.files.json_files import roll_problems
from penstock.connectors.files.line_reader import RANGE_BYTES
from penstock.connectors.files.parquet_reader import ParquetReader, group_sizes
from penstock.connectors.files.parquet_writer import ParquetWriter
from penstock.connectors.files.partition import PartitionBy
from penstock.connectors.files.spec import FileSourceOrSink, OnDamaged
from penstock.connectors.files.unchanged import Glance
from penstock.errors import ExtraMissing, SourceDamaged
from penstock.operator import Context
from penstock.options import Size, parse_size
from penstock.sink import Writer
from penstock.source import Position, Reader
from penstock.working_directory import absolute

T = TypeVar("T")
_ROLL = "128 MiB"


@dataclass(frozen=True)
class ParquetFiles(FileSourceOrSink[T]):
    """Spec of `parquet`."""

    type: Any
    roll: Size

    kind: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"

    @property
    def row_type(self) -> Any:
        return self.type

    @property
    def modules(self) -> Sequence[str]:
        return ("pyarrow", "pyarrow.parquet")

    def check_source(self) -> Sequence[str]:
        found = [*_missing_package(), *super().check_source()]
        if self.roll != _ROLL:
            found.append(f'roll={self.roll!r} has no effect on a source; leave it out')
        return found

    def check_sink(self) -> Sequence[str]:
        found = [*_missing_package(), *super().check_sink(), *roll_problems(self.roll)]
        if self.if_exists == "append" and not targets.names_directory(self.path):
            found.append(f'a Parquet file cannot be appended to; give a directory: "{self.path}/"')
        return found

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[Any]:
        return ParquetReader(
            split["path"], position, start=split["start"], end=split["end"], planned=split["file"], log=context.log
        )

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        if self.waits:
            return self.epoch_writer(ParquetForm(schema_of(self.type)), self.roll, context)
        files = self.files(context, numbered=True)
        roll_bytes = None if files.single else parse_size(self.roll)
        return ParquetWriter(files, self.type, position, roll_bytes=roll_bytes, append=self.if_exists == "append")

    def _parts(self, path: str) -> dict[str, Any]:
        glance = Glance.of(path)
        about = {"path": absolute(path), "file": glance.dump}
        if glance.size <= RANGE_BYTES:
            return {path: {**about, "start": 0, "end": None}}
        try:
            groups = group_sizes(path)
        except SourceDamaged:  # said by the worker that reads it, which may skip it
            return {path: {**about, "start": 0, "end": None}}
        return {f"{path}@{start:06d}": {**about, "start": start, "end": end} for start, end in group_ranges(groups)}


def group_ranges(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Row groups of these sizes, in ranges of about one size: as many as would have `RANGE_BYTES` each."""
    total = sum(sizes)
    count = max(-(-total // RANGE_BYTES), 1)
    ranges: list[tuple[int, int]] = []
    start = taken = 0
    for number, size in enumerate(sizes):
        taken += size
        if taken * count >= total * (len(ranges) + 1) or number == len(sizes) - 1:
            ranges.append((start, number + 1))
            start = number + 1
    return ranges


@overload
def parquet(
    path: paths.Paths,
    *,
    if_exists: targets.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size = _ROLL,
    on_damaged: OnDamaged = "fail",
) -> FileSourceOrSink[dict[str, Any]]: ...


@overload
def parquet(
    path: paths.Paths,
    type: type[T],
    *,
    if_exists: targets.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size = _ROLL,
    on_damaged: OnDamaged = "fail",
) -> FileSourceOrSink[T]: ...


def parquet(
    path: paths.Paths,
    type: Any = dict[str, Any],
    *,
    if_exists: targets.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size = _ROLL,
    on_damaged: OnDamaged = "fail",
) -> FileSourceOrSink[Any]:
    """Read or write Parquet files. Needs pyarrow (`pip install 'penstock[arrow]'`).

    As a source: gives columns, or rows of `type` if an operator takes rows. Files above 32 MiB are shared between
    workers by their row groups.

    As a sink, exactly once: writes one file or, if the path ends in a slash or several workers write, a directory with
    `part-<slot>-<number>.parquet`, a new file about every `roll` of data as Arrow holds it. The columns are those of
    `type` or of the first rows. A row that does not fit them is rejected, for example one with a time without a zone if
    the others have one. NaN and the infinities are written as they are. A file appears once it is complete; until then
    its rows are kept in a hidden file next to it.
    """
    return ParquetFiles(paths.as_patterns(path), on_damaged, if_exists, type, roll, partition_by=partition_by)


def _missing_package() -> list[str]:
    try:
        require_pyarrow()
    except ExtraMissing as exc:
        return [str(exc)]
    return []
