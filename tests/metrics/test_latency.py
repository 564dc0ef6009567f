"""Promises of the latency histograms."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.metrics.latency import (
    BUCKETS,
    RELATIVE_ERROR,
    bucket,
    difference,
    lower_bound,
    merge,
    quantile,
)

WORDS = st.integers(min_value=0, max_value=2**64 - 1)
DURATIONS = st.lists(st.one_of(st.integers(0, 100), st.integers(0, 10**12)), min_size=1, max_size=200)


def histogram(durations: list[int]) -> tuple[int, ...]:
    counted = Counter(map(bucket, durations))
    return tuple(counted[index] for index in range(BUCKETS))


@given(WORDS)
def test_a_duration_lies_within_the_bounds_of_its_bucket(ns: int) -> None:
    index = bucket(ns)
    assert 0 <= index < BUCKETS
    assert lower_bound(index) <= ns < lower_bound(index + 1)


def test_bounds_rise_without_gap_and_the_first_eight_are_exact() -> None:
    assert [lower_bound(index) for index in range(9)] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert all(low < high for low, high in pairwise(map(lower_bound, range(BUCKETS))))


def test_a_negative_duration_counts_as_none() -> None:
    assert bucket(-5) == 0


@given(DURATIONS, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_off_by_one_sixteenth_at_most(durations: list[int], q: float) -> None:
    exact = sorted(durations)[max(1, math.ceil(q * len(durations))) - 1]
    got_ns = quantile(histogram(durations), q) * 1e9
    assert got_ns == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9, abs=1e-9)


def test_the_quantile_of_nothing_is_zero() -> None:
    assert quantile((0,) * BUCKETS, 0.99) == 0.0
    assert quantile(merge([]), 0.5) == 0.0


@given(DURATIONS, DURATIONS)
def test_merging_slots_counts_as_one_slot_would_have(some: list[int], others: list[int]) -> None:
    assert merge([histogram(some), histogram(others)]) == histogram(some + others)


@given(DURATIONS, DURATIONS)
def test_a_difference_holds_what_was_counted_since(before: list[int], since: list[int]) -> None:
    assert difference(histogram(before + since), histogram(before)) == histogram(since)
