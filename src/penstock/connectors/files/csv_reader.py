"""Reads one CSV file as dicts by the header's names; what is no record is rejected by itself. Beside `csv_rows`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from penstock.batch import Batch
from penstock.connectors.files.content import BLOCK_BYTES, MAX_RECORD_BYTES, Content
from penstock.connectors.files.csv_records import BrokenRecord, CsvForm, Cut, cut_records
from penstock.connectors.files.packed import open_content
from penstock.connectors.files.read_file import ReadFile
from penstock.errors import SourceDamaged
from penstock.source import EndOfSplit, Reader, Rejected, WithRejected
from penstock.text_form import UNDECODED_REMEDY, place

CsvInput = dict[str, str]
"""What the reader gives, before it is checked against the row's type."""


class CsvReader(Reader[CsvInput]):
    """Rows of one file. `names`: the columns of a file without header; empty: `column_1`, `column_2` ..."""

    def __init__(
        self, path: str, position: Any, *, header: bool = True, names: Sequence[str] = (),
        form: CsvForm | None = None, planned: Any = None, log: logging.Logger | None = None,
    ) -> None:
        form = form or CsvForm()
        self._path = path
        encoding = form.text.encoding
        self._file = ReadFile(path, planned=planned if position is None else None, encoding=encoding, log=log)
        self._line = 1
        try:
            first = _first_record(self._file.content, form)
            if header:
                self._names = _checked_header(path, first)
                self._file.content.advance(first.used)
                self._line += first.lines
            else:
                self._names = list(names) or _numbered(path, first)
            if position is not None:
                self._file.close()
                self._file = ReadFile(path, position["at"], seen=position["file"], encoding=encoding, log=log)
                self._line = position["line"]
        except BaseException:
            self._file.close()
            raise
        self._form = replace(form, fields=len(self._names))

    def read(self) -> Batch[CsvInput] | WithRejected[CsvInput]:
        cut = self._cut()
        self._file.content.advance(cut.used)
        first, self._line = self._line, self._line + cut.lines
        names = self._names
        width = len(names)
        if not cut.is_broken and all(len(record) == width for record in cut.records):  # type: ignore[arg-type]
            return [dict(zip(names, record)) for record in cut.records]  # type: ignore[arg-type]
        return self._with_rejected(cut, first)

    def position(self) -> dict[str, Any]:
        return {"at": self._file.content.position(), "line": self._line, "file": self._file.seen()}

    def close(self) -> None:
        self._file.close()

    def _with_rejected(self, cut: Cut, first: int) -> WithRejected[CsvInput]:
        rows: list[CsvInput] = []
        rejected: dict[int, Rejected] = {}
        for index, record in enumerate(cut.records):
            start, end = cut.span(index)
            if isinstance(record, list) and len(record) == len(self._names):
                rows.append(dict(zip(self._names, record)))
                continue
            rows.append({})
            where = _where(self._path, first + start, first + end - 1)
            if isinstance(record, BrokenRecord):
                if record.undecoded and self._form.text.errors == "fail":
                    raise SourceDamaged(where, record.reason, UNDECODED_REMEDY)
                rejected[index] = Rejected(record.raw, f"{where}: {record.reason}")
            else:
                what = f"it has {len(record)} fields, expected {len(self._names)}"
                rejected[index] = Rejected(record, f"{where}: {what}")
        return WithRejected(rows, rejected)

    def _cut(self) -> Cut:
        """The next records. Raises `EndOfSplit`, or `SourceDamaged` behind those that are whole."""
        size = BLOCK_BYTES
        while size <= 2 * MAX_RECORD_BYTES:
            data, damage = self._file.look(size)
            if not data and damage is None:
                raise EndOfSplit
            cut = cut_records(data, at_end=damage is None and len(data) < size, form=self._form)
            if cut.used:
                return cut
            if damage is not None:
                raise damage
            size *= 2
        raise self._file.content.too_long(MAX_RECORD_BYTES, "record")


def header_of(path: str, delimiter: str) -> list[str]:
    """The header of a CSV file that a sink wrote; empty where the file is."""
    content = open_content(path)
    try:
        content.skip_bom()
        return _checked_header(path, _first_record(content, CsvForm(delimiter)))
    finally:
        content.close()


def _first_record(content: Content, form: CsvForm) -> Cut:
    """The first record of a file and where it ends."""
    size = 4096
    while size <= 4 * MAX_RECORD_BYTES:
        data = content.peek(size)
        at_end = len(data) < size
        _refuse_bare_returns(content.path, data)
        end = data.find(b"\n") + 1
        while end:
            cut = cut_records(data[:end], at_end=False, form=form)
            if cut.records:
                return cut
            end = data.find(b"\n", end) + 1
        if at_end:
            return cut_records(data, at_end=True, form=form)
        size *= 4
    raise content.too_long(MAX_RECORD_BYTES, "header")


def _refuse_bare_returns(path: str, data: bytes) -> None:
    if b"\n" not in data and b"\r" in data.rstrip(b"\r"):
        raise SourceDamaged(
            path, "its lines end in a carriage return only", r"convert it, say with `tr '\r' '\n'`, then run again"
        )


def _checked_header(path: str, first: Cut) -> list[str]:
    if not first.records:
        return []
    header = first.records[0]
    where = place(path, first.span(0)[0] + 1)
    if isinstance(header, BrokenRecord):
        raise SourceDamaged(where, f"the header cannot be read: {header.reason}: {header.raw[:200]!r}")
    if twice := [name for index, name in enumerate(header) if name in header[:index]]:
        raise SourceDamaged(where, f"the header names column {twice[0]!r} twice", "rename one, or remove the header "
                            "and pass header=False")
    return header


def _numbered(path: str, first: Cut) -> list[str]:
    if not first.records:
        return []
    record = first.records[0]
    if isinstance(record, BrokenRecord):
        where = place(path, first.span(0)[0] + 1)
        raise SourceDamaged(where, f"the number of columns is unknown: {record.reason}")
    return [f"column_{number}" for number in range(1, len(record) + 1)]


def _where(path: str, first: int, last: int) -> str:
    return place(path, first) if first == last else f"{path}, lines {first} to {last}"
