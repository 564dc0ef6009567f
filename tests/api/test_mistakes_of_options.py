"""Options that are wrong or without effect, in the code and in settings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from expected_mistakes import mistakes_of, only_mistake
from hypothesis import given
from hypothesis import strategies as st
from test_mistakes_of_endpoints import Feed, Table, numbers

import penstock as ps
from penstock.connectors import stdio
from penstock.options import parse_duration, parse_size


def double(n: int) -> int:
    return 2 * n


async def later(n: int) -> int:
    return n


def started() -> tuple[ps.Pipeline, ps.Stream[int]]:
    app = ps.Pipeline("app")
    return app, app.source([1, 2, 3])


def with_stage(**options: Any) -> ps.Pipeline:
    app, items = started()
    items.stage("x", **options).map(double).sink(print)
    return app


@pytest.mark.parametrize(
    ("options", "what", "remedy"),
    [
        ({"workers": 0}, "workers: 0", "write 4"),
        ({"workers": "4"}, "workers: '4'", "write 4"),
        ({"workers": True}, "workers: True", "write 4"),
        ({"workers": (4, 2)}, "workers: (4, 2)", "1..8"),
        ({"workers": (1, 2, 3)}, "workers: (1, 2, 3)", "1..8"),
        ({"ordered": 1}, "ordered: 1", "True or False"),
        ({"retries": -1}, "retries: -1", "write one like 4"),
        ({"retries": 1, "retry_delay": -2}, "retry_delay: -2 is not a duration", '"2s"'),
        ({"retries": 1, "retry_delay": "2 lightyears"}, "'2 lightyears' is not a duration", '"2s"'),
        ({"retries": 1, "retry_delay": "1m"}, "longer than retry_delay_max", "raise"),
        ({"retries": 1, "retry_on": "OSError"}, "'OSError' is not a class of exceptions", "OSError"),
        ({"retries": 1, "retry_on": ()}, "is not a class of exceptions", "OSError"),
        ({"timeout": True}, "timeout: True is not a duration", "a number of seconds"),
        ({"timeout": float("nan")}, "timeout: nan is not a duration", '"2s"'),
        ({"timeout": float("inf")}, "timeout: inf is not a duration", '"2s"'),
        ({"timeout": timedelta(seconds=-1)}, "is not a duration", "a number of seconds"),
        ({"timeout": 0}, "timeout: 0 leaves no time", "None"),
        ({"timeout": "0s"}, "timeout: '0s' leaves no time", "None"),
        ({"on_error": "skip"}, "on_error: 'skip' is not a policy", "ps.skip()"),
        ({"on_error": ps.dead_letter(give_up_after=0)}, "give_up_after=0", "None: never"),
        ({"max_restarts": "10"}, "max_restarts: '10' is not a rate", '"10/m"'),
        ({"edge": ps.Edge(memory="8 Mib")}, "edge.memory: '8 Mib' is not a size", '"64 MiB"'),
        ({"edge": ps.Edge(memory="0 B")}, "edge.memory: '0 B' holds no row", '"8 MiB"'),
        ({"edge": ps.Edge(batch_rows=0)}, "edge.batch_rows: 0", "write one"),
        ({"edge": ps.Edge(memory=-1)}, "edge.memory: -1 is not a size", "a number of bytes"),
        ({"edge": ps.Edge(memory=True)}, "edge.memory: True is not a size", "a number of bytes"),
        ({"edge": ps.Edge(memory="0.5")}, "edge.memory: '0.5' is not a whole number of bytes", "a number of bytes"),
        ({"edge": ps.Edge(linger="5 parsecs")}, "edge.linger: '5 parsecs' is not a duration", '"2s"'),
        ({"edge": ps.Edge(route="left")}, "edge.route: 'left' is not a route", "auto, forward"),  # type: ignore[arg-type]
        ({"edge": ps.Edge(when_full="block")}, "edge.when_full: 'block' is", "ps.block()"),  # type: ignore[arg-type]
        ({"concurrency": 4}, "concurrency has no effect in stage 'x': it has no async", "async def"),
        ({"retry_delay": "1s"}, "retry_delay has no effect in stage 'x'", "retries=3"),
        ({"retry_on": OSError}, "retry_on has no effect in stage 'x'", "retries=3"),
        ({"edge": ps.Edge(route="forward"), "workers": 2}, "from 1 workers of 'items' to 2 of 'x'", "same number"),
        ({"edge": ps.Edge(route="balance"), "workers": 2, "ordered": True}, "route='balance' has no effect", "leave"),
    ],
)
def test_a_wrong_option_is_a_mistake_at_the_stage(options: dict[str, Any], what: str, remedy: str) -> None:
    [found] = with_stage(**options).check()
    assert what in found.what
    assert remedy in found.remedy
    assert found.line == with_stage.__code__.co_firstlineno + 2


@pytest.mark.parametrize(
    "options",
    [
        {"workers": (1, 8)}, {"ordered": True}, {"ordered": True, "workers": 3}, {"timeout": None},
        {"timeout": timedelta(seconds=2)}, {"retries": 2, "retry_on": (OSError, ValueError), "retry_delay": "1s"},
        {"on_error": ps.dead_letter(give_up_after=None)}, {"max_restarts": "3/h"},
        {"edge": ps.Edge(memory="1 MiB", route="forward", linger="0s", batch_rows=1)},
    ],
)  # fmt: skip
def test_right_options_are_none(options: dict[str, Any]) -> None:
    assert list(with_stage(**options).check()) == []


def test_bare_numbers_are_seconds_and_bytes() -> None:
    """As everywhere in Python; in settings, which are text, too. They used to be refused."""
    settings = {"x.retry_delay_max": "90", "x.edge.linger": 0.25, "x.edge.memory": "3145728"}
    app = with_stage(
        timeout=2, retries=1, retry_delay=0.5, unavailable_for=60, edge=ps.Edge(memory=1_048_576, linger=0)
    )
    assert list(app.check()) == []
    stage, [edge] = app.plan(settings=settings).stages["x"].settings, app.plan(settings=settings).inputs("x")
    assert (stage.timeout_s, stage.retry_delay_s, stage.retry_delay_max_s, stage.unavailable_for_s) == (2, 0.5, 90, 60)
    assert edge.linger_s == 0.25
    [unset] = app.plan().inputs("x")
    assert edge.channel_bytes == 3 * unset.channel_bytes and unset.linger_s == 0


@given(st.floats(0, 1e12))
def test_a_number_and_its_text_are_the_same_duration(seconds: float) -> None:
    assert parse_duration(seconds) == seconds
    assert parse_duration(f"{seconds:f}") == parse_duration(f"{seconds:f} s") == float(f"{seconds:f}")


@given(st.integers(0, 2**53))
def test_a_number_and_its_text_are_the_same_size(size: int) -> None:
    assert parse_size(size) == parse_size(str(size)) == parse_size(f"{size}B") == size


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), True, False, None, "nan", "inf", "-1", "1e3"])
def test_what_is_not_a_finite_number_is_neither_duration_nor_size(value: Any) -> None:
    for parse in (parse_duration, parse_size):
        with pytest.raises(ValueError, match=f"{value!r} is not a "):
            parse(value)


def test_concurrency_with_an_async_map_is_none() -> None:
    app, items = started()
    items.stage("x", concurrency=64).map(double).map(later).sink(print)
    assert list(app.check()) == []


def test_several_workers_on_stdin_are_a_mistake() -> None:
    app = ps.Pipeline("app")
    app.source(stdio.stdin(), workers=2).sink(print)  # MISTAKE
    only_mistake(app, "workers=2 has no effect in stage 'stdin': stdin cannot be split", "a stage after it")


def test_several_workers_on_a_callable_are_a_mistake() -> None:
    app = ps.Pipeline("app")
    app.source(numbers, workers=2).sink(print)  # MISTAKE
    only_mistake(app, "numbers cannot be split")


def test_several_workers_on_a_sequence_are_none() -> None:
    app = ps.Pipeline("app")
    app.source(range(9), workers=2).sink(print)
    assert list(app.check()) == []


def test_an_ordered_source_is_a_mistake() -> None:
    app = ps.Pipeline("app")
    app.source(range(9), ordered=True).sink(print)  # MISTAKE
    only_mistake(app, "ordered has no effect in stage 'items'")


def test_row_options_of_a_source_without_operators_are_a_mistake() -> None:
    app = ps.Pipeline("app")
    app.source(range(9), timeout="1s").sink(print)  # MISTAKE
    only_mistake(app, "timeout has no effect in stage 'items': no operator", "give it to the stage")


def test_row_options_of_a_source_with_operators_are_none() -> None:
    app = ps.Pipeline("app")
    app.source(range(9), timeout="1s").map(double).sink(print)
    assert list(app.check()) == []


def test_an_ordered_sink_is_a_mistake() -> None:
    app, items = started()
    items.sink(print, ordered=True)  # MISTAKE
    only_mistake(app, "ordered has no effect in stage 'stdout'")


def test_ordered_behind_several_unordered_workers_is_a_mistake() -> None:
    app, items = started()
    loose = items.stage("loose", workers=2).map(double)
    loose.stage("x", workers=2, ordered=True).map(double).sink(print)  # MISTAKE
    only_mistake(app, "its rows come from 2 workers of 'loose'", "make 'loose' ordered")


def test_ordered_behind_an_ordered_stage_is_none() -> None:
    app, items = started()
    strict = items.stage("strict", workers=2, ordered=True).map(double)
    strict.stage("x", workers=3, ordered=True).map(double).sink(print)
    assert list(app.check()) == []


def test_ordered_behind_a_merge_is_a_mistake() -> None:
    app, items = started()
    more = app.source([4], name="more")
    items.merge(more).stage("x", ordered=True).map(double).sink(print)  # MISTAKE
    only_mistake(app, "2 streams are merged", "leave out ordered")


def test_ordered_with_a_key_over_several_workers_is_a_mistake() -> None:
    app, items = started()
    items.stage("x", ordered=True, workers=2).key_by(double).map(double).sink(print)  # MISTAKE
    only_mistake(app, "key_by decides otherwise", "leave out ordered")


def test_a_route_beside_a_key_is_a_mistake() -> None:
    app, items = started()
    items.stage("x", edge=ps.Edge(route="balance")).key_by(double).map(double).sink(print)  # MISTAKE
    only_mistake(app, "key_by says where rows go")


def test_several_workers_for_one_database_are_a_mistake() -> None:
    app, items = started()
    items.sink(Table(slot="db"), workers=2)  # MISTAKE
    only_mistake(app, "one worker writes all rows for db", "leave it out")


def test_forward_between_equal_numbers_of_workers_is_none() -> None:
    app, items = started()
    first = items.stage("first", workers=3).map(double)
    first.stage("second", workers=3, edge=ps.Edge(route="forward")).map(double).sink(print)
    assert list(app.check()) == []


def test_a_setting_can_break_forward() -> None:
    app, items = started()
    first = items.stage("first", workers=3).map(double)
    first.stage("second", workers=3, edge=ps.Edge(route="forward")).map(double).sink(print)  # MISTAKE
    only_mistake(app, "from 2 workers of 'first'", settings={"first.workers": "2"})


@pytest.mark.parametrize(
    ("settings", "what", "remedy"),
    [
        ({"y.workers": 2}, "no stage 'y'", "there are items, x, stdout"),
        ({"iitems.workers": 2}, "no stage 'iitems'", "did you mean 'items'?"),
        ({"x.worker": 2}, "no option 'worker'", "did you mean 'workers'?"),
        ({"x.edge.memry": "1 MiB"}, "no option 'edge.memry'", "did you mean 'edge.memory'?"),
        ({"x.memory": "1 MiB"}, "no option 'memory'", "did you mean 'edge.memory'?"),
        ({"x": 2}, "names no option", "enrich.workers"),
        ({"x.workers": "many"}, "setting x.workers: 'many' is not a number of workers", "1..8"),
        ({"x.workers": "1..many"}, "is not a number of workers", "1..8"),
        ({"x.on_error": "ignore"}, "setting x.on_error: 'ignore' is not a policy", "fail, skip, dead_letter"),
        ({"x.retry_on": "OSError"}, "does not name a class", "in the code"),
        ({"x.timeout": "fast"}, "'fast' is not a duration", '"2s"'),
        ({"x.ordered": "maybe"}, "'maybe' is neither", "true or false"),
        ({"x.concurrency": "4"}, "concurrency has no effect in stage 'x'", "async def"),
    ],
)
def test_a_wrong_setting_is_a_mistake(settings: dict[str, object], what: str, remedy: str) -> None:
    [found] = mistakes_of(with_stage(), settings)
    assert what in found.what
    assert remedy in found.remedy


def test_settings_of_the_stage_that_the_caller_reads_are_a_mistake_but_for_its_edge() -> None:
    _, items = started()
    with pytest.raises(ps.PipelineInvalid) as caught:
        items.results(settings={"results.workers": 2, "results.edge.memory": "1 MiB"})
    [found] = caught.value.mistakes
    assert "workers has no effect in stage 'results': the calling process reads here" in found.what


def test_a_source_that_can_be_shared_out_may_have_several_workers() -> None:
    class Parts(Feed):
        def splits(self) -> dict[str, int]:
            return {"a": 1, "b": 2}

    app = ps.Pipeline("app")
    app.source(Parts(), workers=2).sink(print)
    assert list(app.check()) == []
