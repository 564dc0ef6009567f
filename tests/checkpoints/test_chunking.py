"""Chunks of logs that are shared between checkpoints."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from penstock.checkpoints import chunking
from penstock.checkpoints.chunking import shared_chunks
from penstock.checkpoints.manifest import Chunk, Chunks, length_of


def _grown(earlier: Chunks, length: int) -> tuple[Chunks, int]:
    kept, begin = shared_chunks(earlier, length)
    assert length_of(kept) == begin <= length
    assert kept == earlier[: len(kept)]
    large = chunking.LARGE_BYTES
    new = tuple(Chunk("f", at, min(large, length - at), 0) for at in range(begin, length, large))
    return kept + new, length - begin


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=300))
def test_a_log_has_few_chunks_and_each_byte_is_written_few_times(growths):
    chunks: Chunks = ()
    length = written = 0
    for growth in growths:
        length += growth
        chunks, new = _grown(chunks, length)
        written += new
        assert len(chunks) <= math.log2(length) + 2
    assert written <= length * (math.log2(length) + 2)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30))
def test_a_log_may_be_cut_back(lengths):
    chunks: Chunks = ()
    for length in lengths:
        chunks, _ = _grown(chunks, length)
        assert length_of(chunks) == length


@given(st.integers(1, 40), st.integers(1, 30 * chunking.LARGE_BYTES))
def test_a_long_log_is_not_written_again_because_it_grew_a_little_or_a_lot(turns, growth):
    chunks: Chunks = ()
    written = 0
    for turn in range(1, turns + 1):
        chunks, new = _grown(chunks, turn * growth)
        assert new < growth + 2 * chunking.LARGE_BYTES
        written += new
    assert len(chunks) <= turns * growth // chunking.LARGE_BYTES + math.log2(chunking.LARGE_BYTES) + 2


def test_a_log_that_did_not_grow_is_shared_whole():
    chunks = (Chunk("f", 0, 10, 0), Chunk("f", 10, 3, 0))
    assert shared_chunks(chunks, 13) == (chunks, 13)


def test_chunks_of_the_largest_size_are_never_written_again():
    large = Chunk("f", 0, chunking.LARGE_BYTES, 0)
    kept, begin = shared_chunks((large, large), 4 * chunking.LARGE_BYTES)
    assert kept == (large, large)
    assert begin == 2 * chunking.LARGE_BYTES
