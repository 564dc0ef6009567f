"""Promises of how numbers are written for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.metrics import text


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "-"), (0.00085, "850 µs"), (0.0123, "12.3 ms"), (0.34, "340 ms"), (0.9999, "1000 ms"), (4.21, "4.2 s"),
     (192, "3 m 12 s"), (7500, "2 h 5 m"), (90000, "1 d 1 h")],
)  # fmt: skip
def test_durations_have_units(seconds: float, written: str) -> None:
    assert text.brief(seconds) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1258291, "1.2 MiB"), (1024**2 - 1, "1.0 MiB")],
)
def test_sizes_have_units(number: int, written: str) -> None:
    assert text.size(number) == written


@pytest.mark.parametrize(("number", "written"), [(1234567, "1,234,567"), (1_234_600_000, "1,234.6 M")])
def test_counts_have_thousands_separators(number: int, written: str) -> None:
    assert text.count(number) == written


@pytest.mark.parametrize(("per_s", "written"), [(0, "0"), (0.34, "0.3"), (9.96, "10"), (45300.4, "45,300")])
def test_low_rates_keep_a_decimal(per_s: float, written: str) -> None:
    assert text.rate(per_s) == written


@given(st.floats(0, 1e9))
def test_every_duration_fits_twelve_columns(seconds: float) -> None:
    assert len(text.brief(seconds)) <= 12


@given(st.text(max_size=50), st.integers(1, 40))
def test_a_shortened_text_fits_and_keeps_its_start(full: str, width: int) -> None:
    short = text.shorten(full, width)
    assert len(short) <= width
    assert full.startswith(short.removesuffix("…")) or full == short
