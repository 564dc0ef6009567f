"""Mistakes in how streams are put together, each with its line."""

from __future__ import annotations

from typing import Any

import pytest
from expected_mistakes import lines_marked, only_mistake

import penstock as ps


def double(n: int) -> int:
    return 2 * n


def started() -> tuple[ps.Pipeline, ps.Stream[int]]:
    app = ps.Pipeline("app")
    return app, app.source([1, 2, 3])


def test_a_pipeline_without_a_mistake_has_none() -> None:
    app, items = started()
    items.stage("double").map(double).sink(print)
    assert list(app.check()) == []


def test_a_stream_without_a_sink_is_a_mistake_at_its_last_call() -> None:
    app, items = started()
    (
        items.stage("double")
        .map(double)
        .map(double)  # MISTAKE
    )
    only_mistake(app, "map(double) go nowhere", "ps.discard()")


def test_a_branch_without_a_sink_is_a_mistake_though_another_has_one() -> None:
    app, items = started()
    doubled = items.stage("double").map(double)
    doubled.sink(print)
    doubled.filter(bool)  # MISTAKE
    only_mistake(app, "filter(bool) go nowhere")


def test_an_opened_stage_without_anything_is_one_mistake() -> None:
    app, items = started()
    items.sink(print)
    items.stage("empty")  # MISTAKE
    only_mistake(app, "go nowhere")


def test_a_pipeline_without_a_source_is_a_mistake() -> None:
    app = ps.Pipeline("app")  # MISTAKE
    only_mistake(app, "moves no rows", ".source")


def test_a_stage_without_operators_is_a_mistake() -> None:
    app, items = started()
    items.stage("nothing").sink(print)  # MISTAKE
    only_mistake(app, "stage 'nothing' has no operators", "leave the stage out")


def test_a_stage_with_only_a_key_is_a_mistake() -> None:
    app, items = started()
    items.stage("nothing").key_by(double).sink(print)  # MISTAKE
    only_mistake(app, "stage 'nothing' has no operators")


def test_a_stage_may_consist_of_a_fused_sink() -> None:
    app, items = started()
    items.stage("write", workers=2).key_by(double).sink(ps.discard(), fused=True)
    assert list(app.check()) == []


def test_key_by_on_a_source_is_a_mistake() -> None:
    app, items = started()
    items.key_by(double).map(double).sink(print)  # MISTAKE
    only_mistake(app, "key_by(double) routes rows to a stage", '.stage("name").key_by(...)')


def test_key_by_after_an_operator_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").map(double).key_by(double).map(double).sink(print)  # MISTAKE
    only_mistake(app, "does not come first in stage 'x'")


def test_broadcast_after_an_operator_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").map(double).broadcast().map(double).sink(print)  # MISTAKE
    only_mistake(app, "broadcast() does not come first in stage 'x'")


def test_key_by_twice_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").key_by(double).key_by(double).map(double).sink(print)  # MISTAKE
    only_mistake(app, "does not come first")


def test_key_by_beside_another_use_of_the_stage_is_a_mistake() -> None:
    app, items = started()
    staged = items.stage("x")
    staged.map(double).sink(print)
    staged.key_by(double).map(double).sink(ps.discard())  # MISTAKE
    only_mistake(app, "the stream before it is also used", "use the stream that key_by(...) returns")


def test_an_operator_on_a_merged_stream_is_a_mistake() -> None:
    app, items = started()
    more = app.source([4], name="more")
    items.merge(more).map(double).sink(print)  # MISTAKE
    only_mistake(app, "map(double) has no stage to run in", '.merge(...).stage("name")')


def test_key_by_on_a_merged_stream_is_a_mistake() -> None:
    app, items = started()
    more = app.source([4], name="more")
    items.merge(more).key_by(double).sink(print)  # MISTAKE
    only_mistake(app, "has no stage to run in")


def test_a_sink_fused_into_a_merged_stream_is_a_mistake() -> None:
    app, items = started()
    more = app.source([4], name="more")
    items.merge(more).sink(ps.discard(), fused=True)  # MISTAKE
    only_mistake(app, "no stage to fuse", "leave out fused=True")


def test_a_stage_or_a_sink_after_merge_is_none() -> None:
    app, items = started()
    more = app.source([4], name="more")
    items.merge(more, items).stage("x").map(double).sink(print)
    items.merge(more).sink(ps.discard())
    assert list(app.check()) == []


def test_merging_a_stream_of_another_pipeline_is_a_mistake() -> None:
    app, items = started()
    _, strange = started()
    items.merge(strange).sink(print)  # MISTAKE
    only_mistake(app, "another pipeline", "one Pipeline")


def test_a_name_given_twice_is_a_mistake() -> None:
    app, items = started()
    items.stage("x").map(double).sink(print)
    items.stage("x").map(double).sink(ps.discard())  # MISTAKE
    only_mistake(app, "the name 'x' is taken by line", "another name")


def test_equal_default_names_are_a_mistake_and_not_numbered() -> None:
    app, items = started()
    items.sink(print)
    more = app.source([4])  # MISTAKE
    more.sink(ps.discard())
    only_mistake(app, "the name 'items' is taken", "name=")


def test_a_bad_stage_name_is_a_mistake() -> None:
    app, items = started()
    items.stage("My Stage").map(double).sink(print)  # MISTAKE
    only_mistake(app, "'My Stage' is not a name", "small letters")


@pytest.mark.parametrize("name", [7, None, "", "1st", "a b", "ü"])
def test_what_is_not_a_name_is_a_mistake_whatever_it_is(name: Any) -> None:
    app, items = started()
    items.stage(name).map(double).sink(print)
    [found] = app.check()
    assert "is not a name for a stage" in found.what
    with pytest.raises(ps.PipelineInvalid):
        app.plan(settings={"items.edge.memory": "1 MiB"})


def test_an_edge_option_that_is_not_an_edge_is_a_wrong_call() -> None:
    _, items = started()
    with pytest.raises(TypeError, match=r"edge=ps\.Edge"):
        items.stage("x", edge="8 MiB")  # type: ignore[arg-type]


def test_a_bad_pipeline_name_is_a_mistake() -> None:
    app = ps.Pipeline("My app")  # MISTAKE
    app.source([1]).sink(print)
    only_mistake(app, "'My app' is not a name for a pipeline")


def test_a_fused_sink_beside_another_output_is_a_mistake() -> None:
    app, items = started()
    doubled = items.stage("x").map(double)
    doubled.sink(print, name="show")
    doubled.sink(ps.discard(), fused=True)  # MISTAKE
    only_mistake(app, "fused into stage 'x', which has other outputs", "leave out fused=True")


def test_options_of_a_fused_sink_are_a_mistake() -> None:
    app, items = started()
    items.stage("x").map(double).sink(ps.discard(), fused=True, name="d", workers=2)  # MISTAKE
    only_mistake(app, "workers, name without effect", "give it to stage 'x'")


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    app, items = started()
    items.stage("x").map(double)  # MISTAKE
    items.stage("Y").map(double).sink(print)  # MISTAKE
    items.stage("z", retries=-1).map(double).sink(ps.discard())  # MISTAKE
    with pytest.raises(ps.PipelineInvalid) as caught:
        app.plan()
    this = test_all_mistakes_are_told_at_once_in_the_order_of_their_lines
    assert [m.line for m in caught.value.mistakes] == lines_marked(this)
    assert "3 mistakes" in str(caught.value)


@pytest.mark.parametrize("others", [(), ("text",), (None,)])
def test_merging_no_stream_is_a_wrong_call(others: tuple[object, ...]) -> None:
    _, items = started()
    with pytest.raises(TypeError, match="streams"):
        items.merge(*others)  # type: ignore[call-overload]


def test_an_option_that_does_not_exist_is_a_wrong_call_that_names_the_nearest() -> None:
    _, items = started()
    with pytest.raises(TypeError, match="did you mean 'workers'"):
        items.stage("x", worker=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("length", [201, 242, 5000])
def test_a_name_of_a_pipeline_that_no_file_could_have_is_a_mistake(length: int) -> None:
    app = ps.Pipeline("x" * length)  # MISTAKE
    app.source([1]).sink(print)
    only_mistake(app, f"the name of the pipeline has {length} characters", "give it a shorter one")


def test_a_name_of_a_stage_that_no_file_could_have_is_a_mistake() -> None:
    app, items = started()
    items.stage("x" * 101).map(double).sink(print)  # MISTAKE
    only_mistake(app, "the name of the stage has 101 characters", "give it a shorter one")


def test_a_name_that_is_made_of_a_longer_one_is_cut() -> None:
    def fetch() -> list[int]:
        return [1]

    fetch.__name__ = fetch.__qualname__ = "fetch" * 60
    app = ps.Pipeline("cut")
    app.source(fetch).sink(print)
    assert [len(name) for name in app.plan().stages] == [100, 6]
