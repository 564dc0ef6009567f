"""First stage: reads a unit's files and cuts them into stretches; `Replay` does the same for ever, as a live feed.

A stretch is a whole unit where a score or a rule needs all that went before. Only Binance's files are cut: 1,000
messages and the 300 before them, from which the scores learn the recent past. What came earlier still counts where a
message repeats it: a stretch is told the ids in it that are `known` from earlier stretches.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from analytics.events import Part, Stretch, Unit
from analytics.feeds import FORMATS
from analytics.repeats import Repeats, known, repeats
from analytics.ticks import binance_id


@dataclass(frozen=True)
class Cut:
    """How a format's files are cut."""

    length: int
    """Lines of a stretch."""
    context: int
    """Lines before it that it brings along."""
    id_of: Callable[[str], str]
    """The id of a line's event."""


_CUTS: Mapping[str, Cut] = {"binance": Cut(1000, 300, binance_id)}
"""By format; a whole unit otherwise."""

LIVE_LINES = 50
"""Lines of a stretch of the live feed."""
_LIVE_CONTEXT = 50


def read(unit: Unit) -> Iterator[Stretch]:
    """The stretches of a unit, in order."""
    parts = [Part(file, 1, lines_of(Path(unit.root, file))) for file in unit.files]
    cuts = _CUTS.get(unit.format)
    if cuts is None:
        yield Stretch(unit.format, parts)
        return
    for part in parts:
        repeated = repeats(part, FORMATS[unit.format], cuts.id_of)
        for start in range(0, len(part.lines), cuts.length):
            yield cut(unit.format, part, start, cuts.length, cuts.context, repeated)


def cut(
    format: str, part: Part, start: int, length: int, context: int, repeated: Repeats
) -> Stretch:
    """Lines `start` to `start + length` of a part, with up to `context` lines before them."""
    begin = max(0, start - context)
    lines = part.lines[begin : start + length]
    again = known(repeated, begin, begin + len(lines))
    return Stretch(format, [Part(part.file, part.first + begin, lines)], start - begin, again)


def lines_of(path: Path) -> list[str]:
    """The lines of a file, `.gz` or plain. Bytes that are not UTF-8 become `\\xNN`: kept, and seen to be odd."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        data = file.read()
    lines = [line.removesuffix(b"\r").decode("utf-8", "backslashreplace") for line in data.split(b"\n")]
    if not lines[-1]:  # the end of the last line, not one more
        lines.pop()
    return lines


class Replay:
    """The n-th stretch of a feed that never ends: its units in turn, again and again.

    Every round has file names of its own (`...~3`), so that each line that was ever sent can be accounted for.
    """

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = units
        self.stretches: list[Stretch] = []

    def __call__(self, n: int, rng: Random) -> Stretch:
        if not self.stretches:  # read in the worker, not where the pipeline is built
            self.stretches = list(self._round())
        lap, nth = divmod(n, len(self.stretches))
        stretch = self.stretches[nth]
        (part,) = stretch.parts
        return Stretch(
            stretch.format, [Part(f"{part.file}~{lap}", part.first, part.lines)], stretch.context, stretch.known
        )

    def _round(self) -> Iterator[Stretch]:
        parts = [
            (unit, part, repeats(part, FORMATS[unit.format]))
            for unit in self.units for file in unit.files for part in [Part(file, 1, lines_of(Path(unit.root, file)))]
        ]
        longest = max(len(part.lines) for _, part, _ in parts)
        for start in range(0, longest, LIVE_LINES):
            for unit, part, repeated in parts:
                if start < len(part.lines):
                    yield cut(unit.format, part, start, LIVE_LINES, _LIVE_CONTEXT, repeated)
