"""Reads one CSV file as dicts by the header's names; records that do not fit it as `BrokenRow`. Beside `csv_rows`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.connectors.files.content import BLOCK_BYTES, MAX_RECORD_BYTES, Content
from penstock.connectors.files.csv_records import BrokenRow, Cut, cut_records
from penstock.connectors.files.packed import open_content
from penstock.source import EndOfSplit, Reader

CsvInput = dict[str, str] | BrokenRow
"""What the reader gives, before it is checked against the row's type."""


class CsvReader(Reader[CsvInput]):
    """Rows of one file. `names`: the columns of a file without header; empty: `column_1`, `column_2` ..."""

    def __init__(
        self, path: str, position: Any, *, header: bool = True, delimiter: str = ",", names: Sequence[str] = ()
    ) -> None:
        self._delimiter = delimiter
        self._content = open_content(path)
        first = _first_record(self._content, delimiter)
        if header:
            self._names = _checked_header(first.records)
            self._content.advance(first.used)
        else:
            self._names = list(names) or _numbered(first.records)
        if position is not None:
            self._content.close()
            self._content = open_content(path, position)

    def read(self) -> list[CsvInput]:
        cut = _cut(self._content, self._delimiter)
        if cut is None:
            raise EndOfSplit
        self._content.advance(cut.used)
        return [self._row(record) for record in cut.records]

    def position(self) -> Any:
        return self._content.position()

    def close(self) -> None:
        self._content.close()

    def _row(self, record: list[str] | BrokenRow) -> CsvInput:
        if isinstance(record, BrokenRow):
            return record
        if len(record) != len(self._names):
            return BrokenRow(record, f"it has {len(record)} fields, expected {len(self._names)}")
        return dict(zip(self._names, record))


def header_of(path: str, delimiter: str) -> list[str]:
    """The header of a CSV file; empty where the file is."""
    content = open_content(path)
    try:
        return _checked_header(_first_record(content, delimiter).records)
    finally:
        content.close()


def _first_record(content: Content, delimiter: str) -> Cut:
    """The first record of a file and where it ends; a byte order mark before it is left behind."""
    content.skip_bom()
    size = 4096
    while size <= MAX_RECORD_BYTES:
        data = content.peek(size)
        at_end = len(data) < size
        end = data.find(b"\n") + 1
        while end:
            cut = cut_records(data[:end], at_end=False, delimiter=delimiter)
            if cut.records:
                return cut
            end = data.find(b"\n", end) + 1
        if at_end:
            return cut_records(data, at_end=True, delimiter=delimiter)
        size *= 4
    raise content.too_long(MAX_RECORD_BYTES, "header")


def _checked_header(records: Sequence[list[str] | BrokenRow]) -> list[str]:
    if not records:
        return []
    header = records[0]
    if isinstance(header, BrokenRow):
        raise ValueError(f"the header cannot be read: {header.reason}: {header.fields!r}")
    return header


def _numbered(records: Sequence[list[str] | BrokenRow]) -> list[str]:
    width = len(records[0]) if records and isinstance(records[0], list) else 0
    return [f"column_{number}" for number in range(1, width + 1)]


def _cut(content: Content, delimiter: str) -> Cut | None:
    """The next records; None at the end of the file."""
    size = BLOCK_BYTES
    while size <= MAX_RECORD_BYTES:
        data = content.peek(size)
        if not data:
            return None
        cut = cut_records(data, at_end=len(data) < size, delimiter=delimiter)
        if cut.used:
            return cut
        size *= 2
    raise content.too_long(MAX_RECORD_BYTES, "record (is a quote not closed?)")
