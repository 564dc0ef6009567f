"""Values of the user become whole microseconds, or an error that says what to write."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.event_time import END_OF_TIME, NO_WATERMARK, moments, shown_moment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES))
def test_a_datetime_is_its_instant_to_the_microsecond(value: datetime) -> None:
    assert moments("s")(value) == (value - EPOCH) // timedelta(microseconds=1)


@given(st.integers(-10**10, 10**10))
def test_whole_numbers_are_exact_in_every_unit(seconds: int) -> None:
    at = seconds * 1_000_000
    assert moments("s")(seconds) == moments("ms")(seconds * 10**3) == at
    assert moments("us")(at) == moments("ns")(seconds * 10**9) == at


@given(st.integers(-4 * 10**15, 4 * 10**15))
def test_a_number_of_seconds_with_a_fraction_is_exact_to_the_microsecond(at: int) -> None:
    assert moments("s")(at / 1e6) == at


def test_nanoseconds_are_cut_down() -> None:
    assert moments("ns")(1_999) == 1
    assert moments("ns")(-1) == -1


class Whole:
    """A number of a library, as numpy has them."""

    def __float__(self) -> float:
        return 5.0

    def __index__(self) -> int:
        return 5


@pytest.mark.parametrize("value", [Whole(), Decimal("5"), Fraction(5), 5.0])
def test_numbers_of_other_types_count(value: Any) -> None:
    assert moments("s")(value) == 5_000_000


@pytest.mark.parametrize(("value", "said"), [
    ("2026-01-01", "not str"), (b"5", "not bytes"), (None, "not NoneType"), (True, "not bool"),
    (date(2026, 1, 1), "not date"), ([5], "not list"),
])  # fmt: skip
def test_what_is_not_a_time_is_refused_with_a_remedy(value: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said) as caught:
        moments("s")(value)
    assert "convert it before event_time" in str(caught.value)


def test_a_naive_datetime_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"no time zone.*replace\(tzinfo=UTC\)"):
        moments("s")(datetime(2026, 1, 1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_a_moment_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is not a moment"):
        moments("s")(value)


def test_a_wrong_unit_is_noticed_by_the_year() -> None:
    with pytest.raises(ValueError, match="in s since 1970 is outside of the years 1 to 9999; is its unit another one"):
        moments("s")(1_767_225_600_000)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="'m' is not a unit of time; write one of 's', 'ms', 'us', 'ns'"):
        moments("m")


def test_moments_are_shown_for_people() -> None:
    assert shown_moment(moments("s")(datetime(2026, 3, 1, 12, tzinfo=UTC))) == "2026-03-01T12:00:00Z"
    assert [shown_moment(at) for at in (NO_WATERMARK, END_OF_TIME)] == ["none yet", "the end"]
