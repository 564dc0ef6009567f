"""`files.csv`: comma-separated values, to read or to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, overload

from penstock.connectors.files import paths, target
from penstock.connectors.files.csv_encoder import CsvEncoder
from penstock.connectors.files.csv_reader import CsvReader
from penstock.connectors.files.csv_rows import FromCsv
from penstock.connectors.files.part_writer import PartWriter
from penstock.connectors.files.rows import field_names
from penstock.connectors.files.spec import FileSourceOrSink
from penstock.operator import Context
from penstock.operators.map import Map
from penstock.operators.operator import Operator
from penstock.sink import Writer
from penstock.source import Position, Reader

T = TypeVar("T")


@dataclass(frozen=True)
class CsvFiles(FileSourceOrSink[T]):
    """Spec of `csv`."""

    type: Any
    header: bool
    delimiter: str

    kind: ClassVar[str] = "csv"
    suffix: ClassVar[str] = ".csv"

    @property
    def row_type(self) -> Any:
        return self.type

    @property
    def parse(self) -> Operator | None:
        return Map(FromCsv(self.type), "files.csv")

    def check_as_source(self) -> Sequence[str]:
        return [*super().check_as_source(), *delimiter_problems(self.delimiter)]

    def check_as_sink(self) -> Sequence[str]:
        return [*super().check_as_sink(), *delimiter_problems(self.delimiter)]

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[T]:
        names = field_names(self.type)
        encoded = getattr(self.type, "__struct_encode_fields__", names)
        reader: Reader[Any] = CsvReader(
            split["path"], position, header=self.header, delimiter=self.delimiter, names=encoded
        )
        return reader

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        encoder = CsvEncoder(self.type, header=self.header, delimiter=self.delimiter)
        files = self.files(context, numbered=False)
        return PartWriter(files, encoder, position, append=self.if_exists == "append")


@overload
def csv(
    path: paths.Paths, *, header: bool = True, delimiter: str = ",", if_exists: target.IfExists = "error"
) -> FileSourceOrSink[dict[str, str]]: ...


@overload
def csv(
    path: paths.Paths,
    type: type[T],
    *,
    header: bool = True,
    delimiter: str = ",",
    if_exists: target.IfExists = "error",
) -> FileSourceOrSink[T]: ...


def csv(
    path: paths.Paths,
    type: Any = dict[str, str],
    *,
    header: bool = True,
    delimiter: str = ",",
    if_exists: target.IfExists = "error",
) -> FileSourceOrSink[Any]:
    """CSV files in UTF-8; plain, or packed where the name ends in `.gz` or `.zst`.

    As a source: each record a `type`, by the names of the header; an empty text is None where only None and no text is
    allowed; a record that does not fit is an error of that row. Without `header` the columns are the fields of `type`
    in order, or `column_1`, `column_2`. As a sink: as `json_lines`, with a header at the beginning of every file;
    the fields are those of `type` or of the first row, and a row with others is rejected. Exactly once.
    """
    return CsvFiles(paths.as_patterns(path), if_exists, type, header, delimiter)


def delimiter_problems(delimiter: str) -> list[str]:
    """Why that delimiter cannot be."""
    if len(delimiter) == 1 and delimiter not in '"\r\n':
        return []
    return [f"delimiter={delimiter!r} is not one character other than a quote or a line end"]
