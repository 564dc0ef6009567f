"""Rows as JSON lines. Used by the sink of `json_lines`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.batch import Batch, rows_and_rejected, rows_of
from penstock.connectors.files.not_finite import NotFinite
from penstock.connectors.files.part_writer import RowEncoder
from penstock.ctrl_c import is_ctrl_c
from penstock.sink import WrittenText


def plain_value(value: Any) -> Any:
    """What numpy's scalars and arrays are in plain Python; anything else has no JSON."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


class JsonEncoder(RowEncoder):
    """One JSON document a line; a row that has none is rejected by itself."""

    def __init__(self, *, nan_as_null: bool = False) -> None:
        self._encoder = msgspec.json.Encoder(enc_hook=plain_value)
        self._not_finite = None if nan_as_null else NotFinite(plain_value)

    def encode(self, batch: Batch[Any], *, at_start: bool = False) -> WrittenText:
        text = _text_of_columns(batch, finite=self._not_finite is not None)
        if text is not None:
            return WrittenText(text)
        try:
            rows = rows_of(batch)
            text = self._encoder.encode_lines(rows)
        except BaseException as exc:  # of whichever row: found one by one
            if is_ctrl_c(exc):
                raise
            return self._one_by_one(*rows_and_rejected(batch))
        if self._not_finite is not None and self._not_finite.may_be_in(rows, text):
            return self._one_by_one(*rows_and_rejected(batch))
        return WrittenText(text)

    def _one_by_one(self, rows: Sequence[Any], rejected: dict[int, str]) -> WrittenText:
        lines = []
        for index, row in enumerate(rows):
            if index in rejected:
                continue
            try:
                lines.append(self._line(row))
            except BaseException as exc:  # an enc_hook or a property of the user's class may raise anything
                if is_ctrl_c(exc):
                    raise
                rejected[index] = f"{type(exc).__name__}: {exc}"
        return WrittenText(b"".join(lines), rejected)

    def _line(self, row: Any) -> bytes:
        line = self._encoder.encode(row)
        if self._not_finite is not None and b"null" in line and (place := self._not_finite.place(row)):
            raise ValueError(f'{place}, which JSON cannot represent; files.json_lines(path, nan="null") writes null')
        return line + b"\n"


def _text_of_columns(batch: Batch[Any], *, finite: bool) -> bytes | None:
    """The text of columns of plain types, by polars where the pipeline uses it: the same as row by row, sooner.

    None: rows, or columns that polars writes otherwise than we do (moments, decimals, nested ones), or with numbers
    that are not `finite` where they must be.
    """
    polars = sys.modules.get("polars")
    if polars is None or not hasattr(batch, "__arrow_c_stream__"):
        return None
    frame = batch if isinstance(batch, polars.DataFrame) else polars.from_arrow(batch)
    plain = (polars.Float64, polars.String, polars.Boolean, polars.Null)
    if not all(kind.is_integer() or kind in plain for kind in frame.dtypes):
        return None
    if not frame.height:
        return b""
    if finite and not all(column.is_finite().all() for column in frame if column.dtype == polars.Float64):
        return None
    documents = frame.to_struct("").struct.json_encode().append(polars.Series("", [""]))  # for the last line's end
    text: bytes = documents.str.join("\n").cast(polars.Binary).item()
    return text
