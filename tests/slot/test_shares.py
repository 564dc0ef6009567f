"""Shares: several workers get work even of one batch, fast ones get whole batches, slow ones a row at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.slot.output.shares import FIRST_MOST, SHARE_S, Shares


@given(st.integers(2, 64), st.integers(1, 10_000))
def test_the_first_batch_is_shared_out_among_all_receivers(receivers: int, rows: int) -> None:
    share = Shares(receivers, 4096).rows(rows, taken=0, waiting=0, now=0.0)
    assert 1 <= share <= FIRST_MOST
    assert rows < receivers or -(-rows // share) >= receivers


@given(st.floats(1.0, 1e7), st.integers(2, 16))
def test_a_share_becomes_what_a_receiver_does_in_its_span(rate: float, receivers: int) -> None:
    shares, taken, now = Shares(receivers, 4096), 0.0, 0.0
    share = 0
    for _ in range(60):
        share = shares.rows(4096, taken=int(taken), waiting=1_000_000, now=now)
        now += 5.0
        taken += 5.0 * rate * receivers
    wanted = min(max(rate * SHARE_S, 1), 4096)
    assert abs(share - wanted) <= wanted * 0.2 + 1


def test_receivers_that_starve_are_known_to_be_at_least_as_fast_as_they_took_rows() -> None:
    shares = Shares(2, 4096)
    shares.rows(4096, taken=0, waiting=0, now=0.0)
    assert shares.rows(4096, taken=40_000, waiting=0, now=0.01) == 4096
    assert shares.rows(10, taken=40_010, waiting=0, now=60.0) == 4096


def test_receivers_that_take_nothing_for_long_get_a_row_at_a_time() -> None:
    shares = Shares(8, 4096)
    shares.rows(500, taken=0, waiting=0, now=0.0)
    assert shares.rows(500, taken=0, waiting=500, now=10.0) == 1


texts = st.lists(st.binary(max_size=8).map(lambda text: text.replace(b"\n", b"")), max_size=40)


@given(texts, st.integers(1, 50), st.booleans())
def test_parts_of_a_block_are_the_block(lines: list[bytes], rows: int, ended: bool) -> None:
    block = Lines(b"\n".join(lines) + (b"\n" if ended else b""), 7)
    parts = block.parts(rows)
    assert b"".join(part.data for part in parts) == block.data
    assert [line for part in parts for line in part.split()] == block.split()
    numbers = [part.first for part in parts]
    assert numbers == [7 + block.data[: sum(len(p.data) for p in parts[:i])].count(b"\n") for i in range(len(parts))]
