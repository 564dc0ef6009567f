"""`files.csv`: comma-separated values, to read or to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, overload

from penstock.connectors.files import part_files, paths
from penstock.connectors.files.content import MAX_RECORD_BYTES
from penstock.connectors.files.csv_encoder import CsvEncoder
from penstock.connectors.files.csv_reader import CsvReader
from penstock.connectors.files.csv_records import CsvForm
from penstock.connectors.files.csv_rows import FromCsv
from penstock.connectors.files.epoch_writer import TextForm as PartTextForm
from penstock.connectors.files.json_files import roll_problems, text_options
from penstock.connectors.files.line_files import text_problems
from penstock.connectors.files.part_writer import PartWriter
from penstock.connectors.files.partition import PartitionBy
from penstock.connectors.files.rows import field_names
from penstock.connectors.files.spec import FileSourceOrSink, OnDamaged
from penstock.operator import Context
from penstock.operators.map import Map
from penstock.operators.verb import Operator
from penstock.options import Size, parse_size
from penstock.sink import Writer
from penstock.source import Position, Reader
from penstock.text_form import Errors, TextForm

T = TypeVar("T")
_MAX_RECORD = "1 MiB"


@dataclass(frozen=True)
class CsvFiles(FileSourceOrSink[T]):
    """Spec of `csv`."""

    type: Any
    header: bool
    delimiter: str
    encoding: str
    errors: Errors
    max_record: Size
    roll: Size | None = None

    kind: ClassVar[str] = "csv"
    suffix: ClassVar[str] = ".csv"

    @property
    def row_type(self) -> Any:
        return self.type

    @property
    def parse(self) -> Operator | None:
        return Map(FromCsv(self.type), "files.csv")

    def check_source(self) -> Sequence[str]:
        found = [*super().check_source(), *delimiter_problems(self.delimiter)]
        found += text_problems(self.encoding, self.errors, follow=False)
        if self.roll is not None:
            found.append(f"roll={self.roll!r} has no effect on a source; leave it out")
        return found + record_problems(self.max_record)

    def check_sink(self) -> Sequence[str]:
        found = [*super().check_sink(), *delimiter_problems(self.delimiter)]
        if self.roll is not None and not self.waits:
            return [*found, f'roll={self.roll!r} needs visible="at checkpoint": .sink(..., visible="at checkpoint")']
        return found if self.roll is None else [*found, *roll_problems(self.roll)]

    def reading_options(self) -> Sequence[str]:
        bound = ["max_record"] if self.max_record != _MAX_RECORD else []
        return [*super().reading_options(), *text_options(self.encoding, self.errors), *bound]

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[T]:
        names = field_names(self.type)
        encoded = getattr(self.type, "__struct_encode_fields__", names)
        form = CsvForm(self.delimiter, TextForm(self.encoding, self.errors), parse_size(self.max_record))
        reader: Reader[Any] = CsvReader(
            split["path"], position, header=self.header, names=encoded, form=form, planned=split["file"],
            log=context.log,
        )
        return reader

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        encoder = CsvEncoder(self.type, header=self.header, delimiter=self.delimiter)
        if self.waits:
            return self.epoch_writer(PartTextForm(encoder), self.roll, context)
        files = self.files(context, numbered=False)
        return PartWriter(files, encoder, position, append=self.if_exists == "append")


@overload
def csv(
    path: paths.Paths,
    *,
    header: bool = True,
    delimiter: str = ",",
    if_exists: part_files.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size | None = None,
    encoding: str = "utf-8",
    errors: Errors = "dead_letter",
    on_damaged: OnDamaged = "fail",
    max_record: Size = _MAX_RECORD,
) -> FileSourceOrSink[dict[str, str]]: ...


@overload
def csv(
    path: paths.Paths,
    type: type[T],
    *,
    header: bool = True,
    delimiter: str = ",",
    if_exists: part_files.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size | None = None,
    encoding: str = "utf-8",
    errors: Errors = "dead_letter",
    on_damaged: OnDamaged = "fail",
    max_record: Size = _MAX_RECORD,
) -> FileSourceOrSink[T]: ...


def csv(
    path: paths.Paths,
    type: Any = dict[str, str],
    *,
    header: bool = True,
    delimiter: str = ",",
    if_exists: part_files.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size | None = None,
    encoding: str = "utf-8",
    errors: Errors = "dead_letter",
    on_damaged: OnDamaged = "fail",
    max_record: Size = _MAX_RECORD,
) -> FileSourceOrSink[Any]:
    """Read or write CSV files. Files are compressed if the name ends in `.gz`, `.bz2`, `.xz` or `.zst`.

    As a source: each record becomes a `type`, by the names in the header. Empty text becomes None if the field allows
    None but no text. A record that does not fit is an error of that row. Without `header` the columns are the fields of
    `type` in order, or `column_1`, `column_2`. A quote that is not closed within `max_record` is an error of its line,
    and the lines after it are read. `encoding`, `errors` and `on_damaged` are as for `lines`.

    As a sink, exactly once: writes files as `json_lines` does, in UTF-8, with a header at the beginning of every file.
    The fields are those of `type` or of the first row; a row with other fields is rejected. Numbers that are not finite
    are written as `nan` and `inf`; within nested values, which are JSON, they are rejected. Times are ISO 8601, with an
    offset if they have a zone.
    """
    return CsvFiles(
        paths.as_patterns(path), on_damaged, if_exists, type, header, delimiter, encoding, errors, max_record, roll,
        partition_by=partition_by,
    )


def record_problems(max_record: Size) -> list[str]:
    """What is wrong with `max_record`."""
    try:
        size = parse_size(max_record)
    except ValueError as exc:
        return [f"max_record: {exc}"]
    return [] if 0 < size <= MAX_RECORD_BYTES else [f"max_record={max_record!r} is not between 1 byte and 64 MiB"]


def delimiter_problems(delimiter: str) -> list[str]:
    """Why that delimiter cannot be."""
    if len(delimiter) == 1 and delimiter not in '"\r\n':
        return []
    return [f"delimiter={delimiter!r} is not one character other than a quote or a line end"]
