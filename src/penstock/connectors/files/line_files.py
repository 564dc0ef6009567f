"""`files.lines`: the lines of text files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from penstock.connectors.files import paths
from penstock.connectors.files.follow import FollowReader, follow_splits
from penstock.connectors.files.line_reader import LineForm, LineReader, is_utf8
from penstock.connectors.files.spec import FileSource
from penstock.operator import Context
from penstock.options import parse_duration
from penstock.source import Position, Reader


@dataclass(frozen=True)
class LineFiles(FileSource[str]):
    """Spec of `lines`."""

    follow: bool
    encoding: str
    start: Literal["begin", "end"]
    discover: str

    kind: ClassVar[str] = "lines"
    divisible: ClassVar[bool] = True

    @property
    def bounded(self) -> bool:
        return not self.follow

    @property
    def row_type(self) -> Any:
        return str

    def check(self) -> Sequence[str]:
        found = [*super().check(), *encoding_problems(self.encoding), *duration_problems(self.discover)]
        if self.start not in ("begin", "end"):
            found.append(f'start={self.start!r} is unknown; it is "begin" or "end"')
        if self.start == "end" and not self.follow:
            found.append('start="end" has no effect without follow=True')
        return found

    def splits(self) -> Mapping[str, Any]:
        return follow_splits(self.patterns, self.start == "end") if self.follow else super().splits()

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[str]:
        form = LineForm(self.encoding)
        if self.follow:
            return FollowReader(split, position, form, discover_s=parse_duration(self.discover), log=context.log)
        return LineReader(split["path"], position, form, start=split["start"], end=split["end"])


def lines(
    files: paths.Paths,
    *,
    follow: bool = False,
    encoding: str = "utf-8",
    start: Literal["begin", "end"] = "begin",
    discover_every: str = "1s",
) -> FileSource[str]:
    """The lines of files, as text without their ends; `.gz`, `.zst` and `.zstd` are unpacked.

    A path may be a glob or a directory, or there may be several. Plain files above 32 MiB are shared between workers.
    A worker that dies in a compressed file unpacks its current member again from the beginning, about 3 s per GB of
    text. `follow=True`: never ends, reads what is appended, through rotation; `start="end"`: only what comes after
    the start; `discover_every`: how often new files are looked for.
    """
    return LineFiles(paths.as_patterns(files), follow, encoding, start, discover_every)


def encoding_problems(encoding: str) -> list[str]:
    """Why lines cannot be cut in that encoding, if they cannot."""
    try:
        plain = "\n".encode(encoding) == b"\n" or is_utf8(encoding)
    except LookupError:
        return [f"encoding {encoding!r} is unknown to Python"]
    if plain:
        return []
    return [f"encoding {encoding!r} is not supported, since a line end takes several bytes there; convert to UTF-8"]


def duration_problems(discover: str) -> list[str]:
    """What is wrong with `discover_every`."""
    try:
        parse_duration(discover)
    except ValueError as exc:
        return [f"discover_every: {exc}"]
    return []
