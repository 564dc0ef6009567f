"""Checksums are the same with the extra `speed` and without: queues outlive the processes that wrote them."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

fast = pytest.importorskip("zlib_ng.zlib_ng")


@given(st.binary(max_size=5000), st.integers(0, 2**32 - 1))
def test_both_libraries_give_one_number(data: bytes, before: int) -> None:
    assert fast.crc32(data, before) == zlib.crc32(data, before)
    assert fast.crc32(memoryview(data)[1:]) == zlib.crc32(data[1:])
