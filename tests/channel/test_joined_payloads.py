"""Several payloads in one: rows of the right side of a join are in one envelope each, however they came."""

from __future__ import annotations

from penstock.channel.codec import RowCodec, join_payloads
from penstock.channel.joined_rows import JoinedRows
from penstock.operators.joined.right_row import RightRow


def test_rows_of_the_right_side_are_in_one_envelope_each_where_payloads_were_joined() -> None:
    codec = RowCodec(int)
    joined = join_payloads([codec.encode([1, 2]), codec.encode([3])])
    assert JoinedRows(int).decode(*joined).batch == [RightRow(1), RightRow(2), RightRow(3)]
