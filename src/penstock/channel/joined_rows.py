"""Rows of an edge that a join takes as its right side: encoded as any other, and decoded into their envelopes."""

from __future__ import annotations

from penstock.channel.codec import Decoded, RowCodec
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.pickled_rows import RowWatch
from penstock.operators.joined.right_row import RightRow


class JoinedRows(RowCodec):
    """The codec of such an edge, in the receiving worker."""

    def decode(self, codec: int, payload: bytes, rows: int = -1, watch: RowWatch | None = None) -> Decoded:
        decoded = RowCodec.decode(self, codec, payload, rows, watch)
        batch, failures = decoded.batch, decoded.failures
        if isinstance(batch, ColumnBatch):
            made, unmade = batch.rows_or_failures()
            batch, failures = made, {**failures, **unmade}
        elif not isinstance(batch, list):
            batch = batch.rows()
        return Decoded([RightRow(row) for row in batch], failures)
