"""Rows as CSV. Used by the sink of `csv`; the header stands once at the beginning of every file."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from penstock.batch import Batch, rows_and_rejected
from penstock.connectors.files.csv_reader import header_of
from penstock.connectors.files.not_finite import NotFinite
from penstock.connectors.files.part_writer import RowEncoder
from penstock.connectors.files.rows import field_names, fields_of
from penstock.ctrl_c import is_ctrl_c
from penstock.sink import WrittenText


def _none(value: Any) -> Any:
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


_NOT_FINITE = NotFinite(_none)


class CsvEncoder(RowEncoder):
    """One record a row. The fields are those of `type`, of the file that is continued, or of the first row."""

    def __init__(self, kind: Any, *, header: bool, delimiter: str) -> None:
        self._fields = field_names(kind)
        self._told_by = "has the fields of the type" if self._fields else "has the fields of the first row"
        self._header = header
        self._delimiter = delimiter

    def state(self) -> dict[str, Any]:
        return {"fields": list(self._fields)}

    def restore(self, state: dict[str, Any]) -> None:
        self._fields = tuple(state["fields"])

    def continue_file(self, path: str) -> None:
        if self._header:
            self._fields = tuple(header_of(path, self._delimiter)) or self._fields
            self._told_by = "the file that is appended to has"

    def encode(self, batch: Batch[Any], *, at_start: bool) -> WrittenText:
        rows, unmade = rows_and_rejected(batch)
        try:
            records, rejected = self._records(rows, dict(unmade), check_text=False)
            return WrittenText(self._text(records, at_start), rejected)
        except UnicodeEncodeError:  # half a character in some text: found one by one
            records, rejected = self._records(rows, dict(unmade), check_text=True)
            return WrittenText(self._text(records, at_start), rejected)

    def _records(
        self, rows: Sequence[Any], rejected: dict[int, str], *, check_text: bool
    ) -> tuple[list[list[Any]], dict[int, str]]:
        records: list[list[Any]] = []
        for index, row in enumerate(rows):
            if index in rejected:
                continue
            try:
                record = self._record(row)
                if check_text:
                    "".join(map(str, record)).encode()
                records.append(record)
            except BaseException as exc:  # a property of the user's class may raise anything
                if is_ctrl_c(exc):
                    raise
                rejected[index] = f"{type(exc).__name__}: {exc}"
        return records, rejected

    def _text(self, records: list[list[Any]], at_start: bool) -> bytes:
        if at_start and self._header and records:
            records = [list(self._fields), *records]
        text = self._written(records, csv.QUOTE_MINIMAL)
        if "\r" in text:  # the csv module leaves a lone one without the quotes that it needs to be read again
            text = self._written(records, csv.QUOTE_ALL)
        return text.encode()

    def _written(self, records: list[list[Any]], quoting: Literal[0, 1]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n", quoting=quoting).writerows(records)
        return text.getvalue()

    def _record(self, row: Any) -> list[Any]:
        """The cells of one row, in the order of the header."""
        if not self._fields:
            self._fields = fields_of(row)
        if isinstance(row, Mapping):
            unknown = [str(name) for name in row if name not in self._fields]
            if unknown:
                raise ValueError(
                    f"field {unknown[0]!r} is not in the header ({', '.join(self._fields)}), which {self._told_by}; "
                    "files.csv(path, Type) names all columns"
                )
            return [cell(row.get(name)) for name in self._fields]
        return [cell(getattr(row, name)) for name in self._fields]


def cell(value: Any) -> Any:
    """A value as the `csv` module writes it: JSON for what is nested, ISO 8601 for times."""
    if value is None or isinstance(value, str | float) or type(value) is int:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    text = msgspec.json.encode(value).decode()
    if "null" in text and (place := _NOT_FINITE.place(value)):
        raise ValueError(f"in a nested value, {place}, which JSON cannot represent")
    return msgspec.json.decode(text) if text.startswith('"') else text
