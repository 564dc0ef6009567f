"""Cuts text into CSV records: pure. A record with line ends inside its quotes is never cut in two.

The `csv` module itself says where a record ends, so quotes in odd places mean here what they mean to it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

import msgspec

from penstock.connectors.files.content import MAX_RECORD_BYTES


class BrokenRow(msgspec.Struct, frozen=True):
    """A record that is no row: what it held, and what is wrong with it. Becomes an error of that row."""

    fields: list[str]
    reason: str


@dataclass(frozen=True, slots=True)
class Cut:
    """The whole records at the beginning of some text."""

    records: list[list[str] | BrokenRow]
    """Blank lines are left out."""
    used: int
    """How many bytes they take; 0: not one record ends here, look at more."""


class _Tape:
    """Gives lines to the `csv` module and knows how many it took."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self.taken = 0
        self.dry = False
        """True once more lines were asked for than there are: inside a record, its end is missing."""

    def __iter__(self) -> _Tape:
        return self

    def __next__(self) -> str:
        if self.taken == len(self._lines):
            self.dry = True
            raise StopIteration
        self.taken += 1
        return self._lines[self.taken - 1]


def cut_records(data: bytes, *, at_end: bool, delimiter: str = ",") -> Cut:
    """The whole records of `data`, which begins where a record begins; `at_end`: nothing follows it."""
    whole = data if at_end else data[: data.rfind(b"\n") + 1]
    if not whole:
        return Cut([], 0)
    csv.field_size_limit(MAX_RECORD_BYTES)
    lines = _lines(whole)
    records: list[list[str] | BrokenRow] = []
    tape = _Tape(lines)
    reader = csv.reader(tape, delimiter=delimiter)
    taken = 0
    while True:
        try:
            record: list[str] | BrokenRow = next(reader)
        except StopIteration:
            taken = tape.taken
            break
        except csv.Error as exc:
            record = BrokenRow(["".join(lines[taken : tape.taken])], f"it is no CSV: {exc}")
        if tape.dry:
            if not at_end:
                break
            record = BrokenRow(["".join(lines[taken:])], "a quote in it is never closed")
        taken = tape.taken
        if record:
            records.append(record)
    return Cut(records, _length(whole, taken, len(lines)))


def _lines(whole: bytes) -> list[str]:
    """Lines with their ends; split at `\\n` only, as positions are."""
    lines = whole.decode("utf-8", "replace").split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _length(whole: bytes, taken: int, count: int) -> int:
    """Bytes of the first `taken` of `count` lines."""
    if taken == count:
        return len(whole)
    return sum(map(len, whole.split(b"\n")[:taken])) + taken
