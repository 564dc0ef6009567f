"""`files.lines`: the lines of text files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from penstock.connectors.files import paths
from penstock.connectors.files.follow import FollowReader, follow_splits
from penstock.connectors.files.line_reader import LineForm, LineReader
from penstock.connectors.files.spec import FileSource, OnDamaged
from penstock.connectors.files.wide import is_wide
from penstock.operator import Context
from penstock.options import Duration, parse_duration
from penstock.source import Position, Reader
from penstock.text_form import Errors, encoding_problems


@dataclass(frozen=True)
class LineFiles(FileSource[str]):
    """Spec of `lines`."""

    follow: bool
    encoding: str
    errors: Errors
    start: Literal["begin", "end"]
    discover: Duration

    kind: ClassVar[str] = "lines"

    @property
    def divisible(self) -> bool:
        return not is_wide(self.encoding)

    @property
    def bounded(self) -> bool:
        return not self.follow

    @property
    def row_type(self) -> Any:
        return str

    def check_source(self) -> Sequence[str]:
        found = [*super().check_source(), *text_problems(self.encoding, self.errors, follow=self.follow)]
        found += duration_problems(self.discover)
        if self.start not in ("begin", "end"):
            found.append(f'start={self.start!r} is unknown; it is "begin" or "end"')
        if self.start == "end" and not self.follow:
            found.append('start="end" has no effect without follow=True')
        return found

    def splits(self) -> Mapping[str, Any]:
        return follow_splits(self.patterns, self.start == "end") if self.follow else super().splits()

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[str]:
        form = LineForm(self.encoding, errors=self.errors)
        if self.follow:
            return FollowReader(
                split, position, form, discover_s=parse_duration(self.discover), log=context.log,
                skips_damaged=self.skips_damaged,
            )
        return LineReader(
            split["path"], position, form, start=split["start"], end=split["end"], planned=split["file"],
            log=context.log,
        )


def lines(
    files: paths.Paths,
    *,
    follow: bool = False,
    encoding: str = "utf-8",
    errors: Errors = "dead_letter",
    on_damaged: OnDamaged = "fail",
    start: Literal["begin", "end"] = "begin",
    discover_every: Duration = "1s",
) -> FileSource[str]:
    """Read the lines of files as text without line ends. Decompress `.gz`, `.bz2`, `.xz`, `.zst` and `.zstd`.

    A path may be a glob or a directory; you may give several. A file is read once, under however many names. Plain
    files above 32 MiB are shared between workers. If a worker is killed in a compressed file, its successor
    decompresses the current member again from its beginning, about 3 s per GB of text.

    A line that is not valid in `encoding` is an error of that row. `errors="replace"` replaces what cannot be decoded
    by U+FFFD; `errors="fail"` ends the run. With `on_damaged="skip"`, a damaged file becomes one dead letter, and the
    other files are read.

    With `follow=True` the source never ends: it reads what is appended, through rotation. `start="end"` reads only what
    is written after the start. `discover_every` says how often to look for new files.
    """
    return LineFiles(paths.as_patterns(files), on_damaged, follow, encoding, errors, start, discover_every)


def text_problems(encoding: str, errors: str, *, follow: bool) -> list[str]:
    """Why text cannot be read that way, if it cannot."""
    found = encoding_problems(encoding, errors)
    if not found and follow and is_wide(encoding):
        found.append(f"encoding {encoding!r} cannot be followed; write the file as UTF-8")
    return found


def duration_problems(discover: Duration) -> list[str]:
    """What is wrong with `discover_every`."""
    try:
        parse_duration(discover)
    except ValueError as exc:
        return [f"discover_every: {exc}"]
    return []
