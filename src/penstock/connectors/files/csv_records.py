"""Cuts text into CSV records: pure. A record with line ends inside its quotes is never cut in two.

The `csv` module itself says where a record ends, so quotes in odd places mean here what they mean to it; but where a
quote that is not closed swallows lines that are records of their own, only the line with that quote is set aside.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.connectors.files.content import MAX_RECORD_BYTES
from penstock.text_form import TextForm

_UTF8 = TextForm()
_LINES_TRIED = 20
"""This many of the lines that a record takes are tried as records of their own."""


class BrokenRecord(msgspec.Struct, frozen=True):
    """Lines that are no record: what they hold, and what is wrong with them."""

    raw: bytes
    reason: str
    undecoded: bool = False
    """True: its bytes are not the encoding."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The whole records at the beginning of some text."""

    records: list[list[str] | BrokenRecord]
    """Blank lines are left out."""
    used: int
    """How many bytes they take; 0: not one record ends here, look at more."""
    spans: list[tuple[int, int]] | None
    """The first line of each record, from 0, and the first line behind it; None: each takes one line."""
    lines: int
    """How many lines they take, blank ones included."""
    is_broken: bool
    """True: some of them are `BrokenRecord`."""

    def span(self, index: int) -> tuple[int, int]:
        """The lines of a record, the last one excluded."""
        return (index, index + 1) if self.spans is None else self.spans[index]


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How records stand in text."""

    delimiter: str = ","
    text: TextForm = _UTF8
    max_bytes: int = MAX_RECORD_BYTES
    """A record that does not end within this many bytes has a quote that is not closed."""
    fields: int = 0
    """How many fields a record has; 0: not known."""


class _Tape:
    """Gives lines to the `csv` module and knows how many it took."""

    def __init__(self, lines: Sequence[str], start: int) -> None:
        self._lines = lines
        self.taken = start
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


def cut_records(data: bytes, *, at_end: bool, form: CsvForm | None = None) -> Cut:
    """The whole records of `data`, which begins where a record begins; `at_end`: nothing follows it."""
    whole = data if at_end else data[: data.rfind(b"\n") + 1]
    if not whole:
        return Cut([], 0, [], 0, False)
    cutter = _Cutter(whole, at_end, form or CsvForm())
    return cutter.cut_plain() or cutter.cut()


class _Cutter:
    def __init__(self, whole: bytes, at_end: bool, form: CsvForm) -> None:
        csv.field_size_limit(MAX_RECORD_BYTES)
        self._whole = whole
        self._at_end = at_end
        self._form = form
        self._lines, self._undecoded = _decoded(whole, form.text)
        self._raw: list[bytes] = []
        self._records: list[list[str] | BrokenRecord] = []
        self._spans: list[tuple[int, int]] = []
        self._broken = bool(self._undecoded)

    def cut_plain(self) -> Cut | None:
        """All at once, where every line is a record, as in most files; None: each must be looked at."""
        lines = self._lines
        if self._broken or lines[-1].count('"') % 2:
            return None
        try:
            records: list[Any] = list(csv.reader(lines, delimiter=self._form.delimiter))
        except csv.Error:
            return None
        if len(records) != len(lines) or not all(records):
            return None
        return Cut(records, len(self._whole), None, len(lines), False)

    def cut(self) -> Cut:
        taken = 0
        while True:
            tape = _Tape(self._lines, taken)
            taken, wants_more = self._cut_on(tape, taken)
            if wants_more or taken == len(self._lines):
                break
        used = self._length(taken)
        return Cut(self._records, used, self._spans, taken, self._broken)

    def _cut_on(self, tape: _Tape, taken: int) -> tuple[int, bool]:
        """Records up to one whose quote is not closed: (lines taken, whether to look at more text first)."""
        reader = csv.reader(tape, delimiter=self._form.delimiter)
        while True:
            try:
                record: list[str] | BrokenRecord = next(reader)
            except StopIteration:
                return tape.taken, False
            except csv.Error as exc:
                record = self._break(taken, tape.taken, f"it is not CSV: {exc}")
            if tape.dry:
                if not self._at_end and len(self._whole) - self._length(taken) < self._form.max_bytes:
                    return taken, True
                within = "" if self._at_end else f" within {self._form.max_bytes} bytes"
                self._add(self._break(taken, taken + 1, f"a quote in it is never closed{within}"), taken, taken + 1)
                return taken + 1, False
            if tape.taken > taken + 1 and self._swallows(record, taken, tape.taken):
                reason = f"a quote in it is closed {tape.taken - taken - 1} lines later, but those lines are records"
                self._add(self._break(taken, taken + 1, reason), taken, taken + 1)
                return taken + 1, False
            if record:
                self._add(record, taken, tape.taken)
            taken = tape.taken

    def _add(self, record: list[str] | BrokenRecord, first: int, end: int) -> None:
        if self._undecoded and not isinstance(record, BrokenRecord):
            reasons = [self._undecoded[line] for line in range(first, end) if line in self._undecoded]
            if reasons:
                record = msgspec.structs.replace(self._break(first, end, reasons[0]), undecoded=True)
        self._records.append(record)
        self._spans.append((first, end))

    def _break(self, first: int, end: int, reason: str) -> BrokenRecord:
        self._broken = True
        if not self._raw:
            self._raw = self._whole.split(b"\n")
        return BrokenRecord(b"\n".join(self._raw[first:end]), reason)

    def _swallows(self, record: list[str] | BrokenRecord, first: int, end: int) -> bool:
        """True: what takes several lines is a mistake, since most of them behind the first are records."""
        fields = self._form.fields
        if not fields:
            return False
        lines = self._lines[first:end]
        if isinstance(record, list) and len(record) == fields and _fields_of(lines, self._form.delimiter) == [fields]:
            return False
        tried = lines[1 : 1 + _LINES_TRIED]
        # A line with an odd number of quotes begins or ends a field of several lines: no record of its own.
        whole = [line for line in tried if line.count('"') % 2 == 0]
        alone = sum(_fields_of([line], self._form.delimiter) == [fields] for line in whole)
        return 2 * alone > len(tried)

    def _length(self, taken: int) -> int:
        """Bytes of the first `taken` lines."""
        if taken == len(self._lines):
            return len(self._whole)
        if not self._raw:
            self._raw = self._whole.split(b"\n")
        return sum(map(len, self._raw[:taken])) + taken


def _fields_of(lines: list[str], delimiter: str) -> list[int]:
    """The number of fields of each record in well-formed text; none where it is not well-formed."""
    try:
        return [len(record) for record in csv.reader(lines, delimiter=delimiter, strict=True)]
    except csv.Error:
        return []


def _decoded(whole: bytes, form: TextForm) -> tuple[list[str], dict[int, str]]:
    """Lines with their ends, split at `\\n` only, as positions are; why some cannot be decoded, by their index."""
    try:
        text = whole.decode(form.codec)
        lines = text.split("\n")
        if len(lines) == whole.count(b"\n") + 1:
            last = lines.pop()
            return [line + "\n" for line in lines] + ([last] if last else []), {}
    except UnicodeError:
        pass  # looked at line by line
    return _decoded_one_by_one(whole, form)


def _decoded_one_by_one(whole: bytes, form: TextForm) -> tuple[list[str], dict[int, str]]:
    lines: list[str] = []
    undecoded: dict[int, str] = {}
    for index, raw in enumerate(whole.split(b"\n")):
        text, reason = form.line_text(raw)
        if reason:
            undecoded[index] = reason
            text = raw.decode("latin-1")  # quotes and delimiters count all the same
        lines.append(text.replace("\n", " ") + "\n")
    last = lines.pop().removesuffix("\n")
    return lines + ([last] if last else []), undecoded
