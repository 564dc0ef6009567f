"""The time of a row as generated text is what `event_time` itself makes of it, whatever stands in the field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.event_time import moments
from penstock.operators.event_time import EventTime, Field
from penstock.operators.moment_text import moment_text
from penstock.windows.accumulators import function


class At(msgspec.Struct):
    at: datetime


class Whole(msgspec.Struct):
    at: int


class Real(msgspec.Struct):
    at: float


FAR = timezone(timedelta(hours=5, minutes=30))
values = st.one_of(
    st.integers(-(2**70), 2**70), st.integers(0, 2_000_000_000), st.floats(), st.floats(0, 2e9), st.booleans(),
    st.datetimes(), st.datetimes(timezones=st.sampled_from([UTC, FAR])), st.none(), st.text(max_size=2),
    st.datetimes(datetime(1970, 1, 1), datetime(2120, 1, 1), timezones=st.just(UTC)),
)


def outcome(made: Any, row: Any) -> Any:
    try:
        return made(row)
    except (TypeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("row_type", [At, Whole, Real, dict[str, Any], Any])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(value=values)
@example(value=datetime(2107, 1, 1, 0, 0, 0, 7, tzinfo=UTC))
def test_the_time_of_a_row_is_what_event_time_makes_of_it(row_type: Any, unit: str, value: Any) -> None:
    event_time = EventTime(Field("at"), "f.py:1", unit=unit)
    exact = event_time.moment_of(event_time.function())
    text = moment_text(event_time, row_type)
    names = {**text.names, "moment": exact}
    made = function("row", [*text.lines(), "return t"], names)
    in_one = function("it", [f"return {text.expression('it', 'moment(it)')}"], names)
    row = row_type(value) if row_type in (At, Whole, Real) else {"at": value}
    given = outcome(made, row)
    assert given == outcome(lambda row: moments(unit)(value), row)
    assert given == outcome(in_one, row)
    assert type(given) in (int, tuple)
