"""The graph as a value: sorting calls into stages never fails, and dropping loose streams leaves the rest whole."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.graph.graph import Graph, ResultsCall, SinkCall, parents_of
from penstock.graph.row_types import row_types
from penstock.graph.stages import stages_of
from penstock.plan.planner import examine, plan_of

Step = Callable[[ps.Pipeline, list[ps.Stream[int]], int, int], None]


def _source(app: ps.Pipeline, streams: list[ps.Stream[int]], a: int, b: int) -> None:
    streams.append(app.source([1, 2, 3], name=f"source{len(streams)}"))


def _stage(app: ps.Pipeline, streams: list[ps.Stream[int]], a: int, b: int) -> None:
    streams.append(streams[a % len(streams)].stage(f"stage{len(streams)}", workers=1 + b % 3))


def _map(app: ps.Pipeline, streams: list[ps.Stream[int]], a: int, b: int) -> None:
    streams.append(streams[a % len(streams)].map(int))


def _key(app: ps.Pipeline, streams: list[ps.Stream[int]], a: int, b: int) -> None:
    streams.append(streams[a % len(streams)].key_by(int))


def _merge(app: ps.Pipeline, streams: list[ps.Stream[int]], a: int, b: int) -> None:
    streams.append(streams[a % len(streams)].merge(streams[b % len(streams)]))


def _sink(app: ps.Pipeline, streams: list[ps.Stream[int]], a: int, b: int) -> None:
    streams[a % len(streams)].sink(ps.discard(), name=f"sink{a}-{b}", fused=b % 5 == 0)


STEPS: list[Step] = [_source, _stage, _map, _key, _merge, _sink]
programs = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99), st.integers(0, 99)), max_size=25)


def built(program: list[tuple[Step, int, int]]) -> Graph:
    app = ps.Pipeline("app")
    streams: list[ps.Stream[int]] = [app.source([1])]
    for step, a, b in program:
        step(app, streams, a, b)
    return app._recorder.graph()


@given(programs)
def test_any_program_is_either_planned_or_has_mistakes(program: list[tuple[Step, int, int]]) -> None:
    examined = examine(built(program), {})
    if examined.findings.mistakes:
        assert all(mistake.what and mistake.remedy for mistake in examined.findings.mistakes)
        return
    plan = plan_of(examined)
    assert all(edge.sender in plan.stages and edge.receiver in plan.stages for edge in plan.edges)
    outputs = [output.edge for stage in plan.stages.values() for output in stage.outputs]
    assert sorted(outputs) == sorted(edge.name for edge in plan.edges)
    assert plan.to_text() and plan.to_json() and plan.to_mermaid()


@given(programs)
def test_every_call_but_a_merge_has_one_stage(program: list[tuple[Step, int, int]]) -> None:
    graph = built(program)
    stages = stages_of(graph)
    row_types(graph)
    for stage in stages.by_number.values():
        assert stages.home[stage.number] == stage.number
        assert all(stages.home[n] == stage.number for n in (*stage.operators, *stage.routing, *stage.fused_sinks))


@given(programs, st.sets(st.integers(0, 30)))
def test_without_loose_streams_every_parent_is_still_there(
    program: list[tuple[Step, int, int]], loose: set[int]
) -> None:
    graph = built(program)
    left = graph.without(frozenset(loose))
    assert all(parent in left.calls for call in left.calls.values() for parent in parents_of(call))
    gone = set(graph.calls) - set(left.calls)
    assert not any(isinstance(graph.calls[n], SinkCall | ResultsCall) for n in gone)
    # What was dropped fed nothing that is left, and began with streams that were named.
    assert not gone or gone & loose


@given(programs)
def test_without_nothing_loose_the_graph_is_the_same(program: list[tuple[Step, int, int]]) -> None:
    graph = built(program)
    assert graph.without(frozenset()).calls == graph.calls
