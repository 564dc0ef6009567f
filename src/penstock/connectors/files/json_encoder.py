"""Rows as JSON lines. Used by the sink of `json_lines`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.batch import Batch, rows_of
from penstock.connectors.files.part_writer import Encoded, RowEncoder


def plain_value(value: Any) -> Any:
    """What numpy's scalars and arrays are in plain Python; anything else has no JSON."""
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


class JsonEncoder(RowEncoder):
    """One JSON document a line; a row that has none is rejected by itself."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder(enc_hook=plain_value)

    def encode(self, batch: Batch[Any], *, at_start: bool) -> Encoded:
        rows = rows_of(batch)
        try:
            return Encoded(self._encoder.encode_lines(rows))
        except Exception:  # of whichever row: found one by one
            return self._one_by_one(rows)

    def _one_by_one(self, rows: Sequence[Any]) -> Encoded:
        lines = []
        rejected = {}
        for index, row in enumerate(rows):
            try:
                lines.append(self._encoder.encode(row) + b"\n")
            except Exception as exc:  # an enc_hook or a property of the user's class may raise anything
                rejected[index] = f"{type(exc).__name__}: {exc}"
        return Encoded(b"".join(lines), rejected)
