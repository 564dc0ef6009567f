"""Mistakes in event times, each with its line."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, TypedDict

import msgspec
import pytest
from expected_mistakes import only_mistake

import penstock as ps


class Click(msgspec.Struct):
    at: datetime
    ms: float
    user: str
    day: date
    took: timedelta
    known: bool
    maybe: datetime | None = None


class Visit(TypedDict):
    at: int
    page: str


CLICKS: list[Click] = []


def clicks() -> tuple[ps.Pipeline, ps.Stream[Click]]:
    app = ps.Pipeline("app")
    return app, app.source(CLICKS, name="clicks").map(as_click)


def as_click(click: Any) -> Click:
    return click  # type: ignore[no-any-return]


def as_visit(click: Click) -> Visit:
    return {"at": 1, "page": ""}


def text(click: Click) -> str:
    return click.user


def moment(click: Click) -> datetime:
    return click.at


def nothing(click: Click) -> None:
    return None


@pytest.mark.parametrize("field", ["at", "ms", "maybe"])
def test_fields_that_can_be_times_are_none(field: str) -> None:
    app, stream = clicks()
    stream.event_time(field).sink(ps.discard())
    assert not app.check()


def test_functions_that_can_give_times_are_none() -> None:
    app, stream = clicks()
    stream.event_time(moment, disorder="5s", idle_after="1m").sink(ps.discard(), name="one")
    stream.stage("two").event_time(lambda click: click.ms, unit="ms").sink(ps.discard(), name="two-out")
    assert not app.check()


def test_a_field_that_rows_do_not_have() -> None:
    app, stream = clicks()
    stream.event_time("when").sink(ps.discard())  # MISTAKE
    only_mistake(app, "has no field 'when'", "at")


def test_a_field_of_a_typed_dict() -> None:
    app, stream = clicks()
    stream.map(as_visit).event_time("ta").sink(ps.discard())  # MISTAKE
    only_mistake(app, "Visit", "did you mean 'at'")


@pytest.mark.parametrize(
    ("field", "kind"), [("user", "str"), ("day", "date"), ("took", "timedelta"), ("known", "bool")]
)
def test_a_field_that_can_be_no_time(field: str, kind: str) -> None:
    app, stream = clicks()
    stream.event_time(field).sink(ps.discard())  # MISTAKE
    only_mistake(app, f"field {field!r} is {kind}", "datetimes with their time zone")


def test_a_field_of_what_has_no_fields() -> None:
    app = ps.Pipeline("app")
    app.source([1, 2]).event_time("at").sink(ps.discard())  # MISTAKE
    only_mistake(app, "names a field, but", "pass a function of the row")


def test_a_function_that_gives_no_time() -> None:
    app, stream = clicks()
    stream.event_time(text).sink(ps.discard())  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "event_time(text) returns str", "times are numbers, or datetimes")


def test_a_function_that_gives_nothing() -> None:
    app, stream = clicks()
    stream.event_time(nothing).sink(ps.discard())  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "annotated to return None", "return the time of the row")


def test_what_is_neither_a_field_nor_a_function() -> None:
    app, stream = clicks()
    stream.event_time(5).sink(ps.discard())  # type: ignore[arg-type]  # MISTAKE
    only_mistake(app, "which cannot be called")


@pytest.mark.parametrize(("options", "what"), [
    ({"unit": "m"}, "'m' is not a unit of time"), ({"disorder": "soon"}, "disorder: 'soon' is not a duration"),
    ({"disorder": None}, "disorder: None is not a duration"), ({"idle_after": -1}, "idle_after: -1 is not a duration"),
])  # fmt: skip
def test_wrong_options(options: dict[str, Any], what: str) -> None:
    app, stream = clicks()
    stream.event_time("at", **options).sink(ps.discard())  # MISTAKE
    only_mistake(app, what)


def test_two_event_times_in_a_stage() -> None:
    app, stream = clicks()
    stream.event_time("at").sink(ps.discard(), name="one")
    stream.event_time("ms").sink(ps.discard(), name="two")  # MISTAKE
    only_mistake(app, "stage 'clicks' has an event time already", "open a stage for this one")


def test_an_event_time_behind_what_keeps_state_by_it() -> None:
    app, stream = clicks()
    keyed = stream.event_time("at").stage("sum").key_by("user").scan(0.0, lambda total, click: (total, click))
    keyed.event_time("ms").sink(ps.discard())  # MISTAKE
    only_mistake(app, "stands behind scan(lambda), which keeps state by the event time of its stage", "open a stage")


def test_the_plan_shows_it() -> None:
    app, stream = clicks()
    stream.event_time("at", disorder="5s", idle_after="1m", unit="ms").sink(ps.discard())
    shown = app.plan().to_text()
    assert "event_time('at', disorder='5s', idle_after='1m', unit='ms')" in shown
