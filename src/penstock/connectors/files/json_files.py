"""`files.json_lines`: a JSON document on each line, to read or to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, overload

from penstock.batch import Batch
from penstock.connectors.files import part_files, paths
from penstock.connectors.files.epoch_writer import TextForm
from penstock.connectors.files.follow import FollowReader, follow_splits
from penstock.connectors.files.json_encoder import JsonEncoder
from penstock.connectors.files.line_files import text_problems
from penstock.connectors.files.line_reader import LineForm, LineReader
from penstock.connectors.files.part_writer import PartWriter
from penstock.connectors.files.partition import PartitionBy
from penstock.connectors.files.spec import FileSourceOrSink, OnDamaged
from penstock.connectors.files.wide import is_wide
from penstock.operator import Context
from penstock.operators.parse_json import ParseJson
from penstock.operators.verb import Operator
from penstock.options import Size, parse_size
from penstock.sink import Writer, WrittenText
from penstock.source import Position, Reader
from penstock.text_form import Errors

T = TypeVar("T")
_DISCOVER_S = 1.0
Nan: TypeAlias = Literal["dead_letter", "null"]
"""What a sink does with a number that is not finite."""


@dataclass(frozen=True)
class JsonLineFiles(FileSourceOrSink[T]):
    """Spec of `json_lines`."""

    type: Any
    follow: bool
    roll: Size | None
    encoding: str
    errors: Errors
    nan: Nan

    kind: ClassVar[str] = "json_lines"
    suffix: ClassVar[str] = ".jsonl"

    @property
    def divisible(self) -> bool:
        return not is_wide(self.encoding)

    @property
    def bounded(self) -> bool:
        return not self.follow

    @property
    def row_type(self) -> Any:
        return self.type

    @property
    def parse(self) -> Operator | None:
        return ParseJson(None, "files.json_lines", self.type)

    @property
    def text(self) -> Callable[[Batch[Any]], WrittenText] | None:
        if self.partition_by is not None:  # the writer looks at rows
            return None
        return JsonEncoder(nan_as_null=self.nan == "null").encode

    def check_source(self) -> Sequence[str]:
        found = [*super().check_source(), *text_problems(self.encoding, self.errors, follow=self.follow)]
        if self.roll is not None:
            found.append(f'roll={self.roll!r} has no effect on a source; leave it out')
        if self.nan != "dead_letter":
            found.append(f'nan="{self.nan}" has no effect on a source; leave it out')
        return found

    def check_sink(self) -> Sequence[str]:
        found = list(super().check_sink())
        if self.follow:
            found.append("follow=True has no effect on a sink; leave it out")
        if self.nan not in ("dead_letter", "null"):
            found.append(f'nan={self.nan!r} is unknown; it is "dead_letter" or "null"')
        if self.roll is not None:
            found += roll_problems(self.roll)
            if not part_files.names_directory(self.path):
                found.append(f'roll makes several files; give a directory: "{self.path}/"')
        return found

    def reading_options(self) -> Sequence[str]:
        return [*super().reading_options(), *text_options(self.encoding, self.errors)]

    def splits(self) -> Mapping[str, Any]:
        return follow_splits(self.patterns, at_end=False) if self.follow else super().splits()

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[Any]:
        form = LineForm(self.encoding, blank_lines=False, errors=self.errors)
        if self.follow:
            return FollowReader(
                split, position, form, discover_s=_DISCOVER_S, log=context.log, skips_damaged=self.skips_damaged
            )
        return LineReader(
            split["path"], position, form, start=split["start"], end=split["end"], planned=split["file"],
            log=context.log,
        )

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        if self.waits:
            return self.epoch_writer(TextForm(JsonEncoder(nan_as_null=self.nan == "null")), self.roll, context)
        return PartWriter(
            self.files(context, numbered=self.roll is not None),
            JsonEncoder(nan_as_null=self.nan == "null"),
            position,
            roll_bytes=None if self.roll is None else parse_size(self.roll),
            append=self.if_exists == "append",
        )


@overload
def json_lines(
    path: paths.Paths,
    *,
    follow: bool = False,
    if_exists: part_files.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size | None = None,
    encoding: str = "utf-8",
    errors: Errors = "dead_letter",
    on_damaged: OnDamaged = "fail",
    nan: Nan = "dead_letter",
) -> FileSourceOrSink[Any]: ...


@overload
def json_lines(
    path: paths.Paths,
    type: type[T],
    *,
    follow: bool = False,
    if_exists: part_files.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size | None = None,
    encoding: str = "utf-8",
    errors: Errors = "dead_letter",
    on_damaged: OnDamaged = "fail",
    nan: Nan = "dead_letter",
) -> FileSourceOrSink[T]: ...


def json_lines(
    path: paths.Paths,
    type: Any = Any,
    *,
    follow: bool = False,
    if_exists: part_files.IfExists = "error",
    partition_by: PartitionBy | None = None,
    roll: Size | None = None,
    encoding: str = "utf-8",
    errors: Errors = "dead_letter",
    on_damaged: OnDamaged = "fail",
    nan: Nan = "dead_letter",
) -> FileSourceOrSink[Any]:
    """Read or write files with one JSON document per line.

    Files are compressed if the name ends in `.gz`, `.bz2`, `.xz` or `.zst`.

    As a source: each line is decoded and checked against `type`. A line that does not fit is an error of that row;
    blank lines are skipped. Globs, directories, `follow`, `encoding`, `errors` and `on_damaged` are as for `lines`.

    As a sink, exactly once: writes one file or, if the path ends in a slash or several workers write, a directory with
    `part-<slot>.jsonl`. With `roll` it writes `part-<slot>-<number>.jsonl`, and starts a new file beyond that size.
    Compressed files have one member per batch, which compresses large batches better than small ones. JSON has no NaN
    and no infinities: a row with one is rejected, or written with null under `nan="null"`. A time is written with its
    offset if it has a zone.
    """
    return JsonLineFiles(
        paths.as_patterns(path), on_damaged, if_exists, type, follow, roll, encoding, errors, nan,
        partition_by=partition_by,
    )


def text_options(encoding: str, errors: str) -> list[str]:
    """Which of the options that say how text is read are given."""
    return [*(["encoding"] if encoding != "utf-8" else []), *(["errors"] if errors != "dead_letter" else [])]


def roll_problems(roll: Size) -> list[str]:
    """What is wrong with a `roll` size."""
    try:
        size = parse_size(roll)
    except ValueError as exc:
        return [f"roll: {exc}"]
    return [] if size else [f"roll={roll!r} is not a size for a file"]
