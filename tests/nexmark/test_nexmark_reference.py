"""The reference gives the rows that others expect, and the generator the same stream whoever makes which part of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from expected_rows import expected
from hypothesis import given
from hypothesis import strategies as st
from nexmark.events import Auction, Bid, Person
from nexmark.generator import Generator, write
from nexmark.reference import QUERIES, Reference

from nexmark import compare


@pytest.mark.parametrize("query", sorted(set(QUERIES) - {"q11", "q12", "q13"}))
def test_the_reference_agrees_with_the_expected_rows(small_stream: Path, query: str) -> None:
    rows = Reference(small_stream).rows(query)
    assert compare.difference(map(compare.line, rows), expected(query)) is None


def test_a_comparison_finds_a_row_that_differs() -> None:
    assert compare.difference(["1 2.50", "a  b"], ["a b", "1 2.5000001"]) is None
    assert compare.difference(["1 2.5"], ["1 2.6"]) == "'1 2.5', expected '1 2.6'"
    assert compare.difference(["1"], ["1", "1"]) == "1 rows, expected 2"


@given(st.integers(0, 500), st.integers(0, 300), st.integers(0, 300))
def test_any_part_of_the_stream_is_the_same_as_in_the_whole(first: int, length: int, seed: int) -> None:
    generator = Generator(seed=seed)
    assert list(generator.events(first, first + length)) == list(generator.events(0, first + length))[first:]


def test_the_mix_is_that_of_the_standard_and_times_do_not_go_back() -> None:
    events = list(Generator().events(0, 10_000))
    assert Counter(map(type, events)) == {Person: 200, Auction: 600, Bid: 9200}
    times = [event.date_time for event in events]
    assert times == sorted(times) and times[-1] - times[0] == 999


def test_what_is_written_is_what_the_reference_reads(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", 1000)
    assert len(Reference(tmp_path / "events.jsonl").rows("q0")) == 920
