"""Promises of the diagnosis: which stage is named, and what is said about it."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from penstock.metrics.diagnosis import ends, explain, find_bottleneck
from penstock.status import EdgeStatus, StageStatus, Status


def stage(name: str, busy: float, idle: float, blocked: float, workers: int = 1) -> StageStatus:
    return StageStatus(name, workers, 0, 0, 0.0, 0.0, busy, idle, blocked, 0.0, 0.0, 0, 0, 0, 0, None)


def edge(name: str, fill: float) -> EdgeStatus:
    return EdgeStatus(name, 0, int(fill * 1000), 1000, 0.0, 0)


def status(stages: list[StageStatus], edges: list[EdgeStatus]) -> Status:
    by_name = {s.name: s for s in stages}
    queues = {e.name: e for e in edges}
    return Status("p", "running", 1.0, 0.0, 0.0, find_bottleneck(by_name, queues), by_name, queues)


def line() -> Status:
    return status(
        [stage("ingest", 0.2, 0, 0.8), stage("normalize", 0.4, 0, 0.6), stage("enrich", 0.97, 0.03, 0),
         stage("load", 0.3, 0.7, 0)],
        [edge("ingest->normalize", 0.9), edge("normalize->enrich", 0.83), edge("enrich->load", 0.01)],
    )  # fmt: skip


def test_the_busy_stage_between_a_blocked_and_a_starved_one_is_named() -> None:
    assert line().bottleneck == "enrich"


def test_the_sentence_tells_how_busy_how_full_who_waits_and_what_a_worker_brings() -> None:
    assert explain(line()) == (
        "enrich is the bottleneck: 97 % busy, its queue is 83 % full; normalize waits 60 % for room; "
        "one more worker would bring about +100 %"
    )


def test_the_gain_of_a_worker_ends_where_the_next_stage_is_full() -> None:
    made = status(
        [stage("a", 0.8, 0, 0.2), stage("b", 0.4, 0, 0.6), stage("c", 1.0, 0, 0)],
        [edge("a->b", 0.9), edge("b->c", 0.9)],
    )
    assert explain(made).endswith("one more worker would bring about +25 %")


def test_no_worker_is_advised_when_the_next_stage_is_as_busy() -> None:
    made = status([stage("a", 0.98, 0, 0.3), stage("b", 1.0, 0, 0)], [edge("a->b", 0.9)])
    assert "the next stage is as busy" in explain(made)


def test_a_saturated_source_is_named_though_nobody_is_blocked() -> None:
    made = status([stage("ingest", 0.95, 0.05, 0), stage("load", 0.1, 0.9, 0)], [edge("ingest->load", 0.0)])
    assert made.bottleneck == "ingest"
    assert "it has no queue before it" in explain(made)
    assert explain(made).endswith("if its source has more to split")


def test_nothing_is_named_when_nothing_is_saturated() -> None:
    made = status([stage("ingest", 0.3, 0.7, 0), stage("load", 0.1, 0.9, 0)], [edge("ingest->load", 0.0)])
    assert made.bottleneck is None
    assert explain(made) == "nothing is saturated; the busiest stage is ingest (30 % busy)"


def test_the_branch_that_blocks_a_fan_out_is_named_with_the_one_it_starves() -> None:
    made = status(
        [stage("parse", 0.2, 0, 0.8), stage("audit", 0.05, 0.95, 0), stage("slow", 0.9, 0.1, 0)],
        [edge("parse->audit", 0.0), edge("parse->slow", 1.0)],
    )
    assert made.bottleneck == "slow"
    assert "it holds back audit, which waits 95 % for rows" in explain(made)


def test_uneven_workers_are_told_instead_of_advising_more() -> None:
    made = status(
        [stage("parse", 0.2, 0, 0.8), stage("count", 0.26, 0.74, 0, workers=4)], [edge("parse->count", 0.3)]
    )
    assert made.bottleneck == "count"
    assert "unevenly" in explain(made)


def test_the_calling_program_is_named_when_it_takes_rows_too_slowly() -> None:
    made = status([stage("parse", 0.1, 0, 0.9), stage("results", 0, 0, 0, workers=0)], [edge("parse->results", 0.98)])
    assert made.bottleneck == "results"
    assert "the program that takes its rows is slower" in explain(made)
    assert "worker" not in explain(made)


def test_a_machine_without_a_free_core_is_told() -> None:
    assert "the machine's core is in use" in explain(line(), cores=1)
    assert "about +100 %" in explain(line(), cores=16)


def test_the_ends_of_an_edge_are_found_in_its_name() -> None:
    assert ends("a->b") == ("a", "b")
    assert ends("a-->b_2#2") == ("a-", "b_2")


SHARE = st.floats(0, 1)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Mapping[str, StageStatus], Mapping[str, EdgeStatus]]:
    names = "abcdef"[: draw(st.integers(1, 6))]
    stages = {n: stage(n, draw(SHARE), draw(SHARE), draw(SHARE), draw(st.integers(0, 3))) for n in names}
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if draw(st.booleans())]
    edges = {f"{a}->{b}": edge(f"{a}->{b}", draw(SHARE)) for a, b in pairs}
    return stages, edges


@given(graphs())
def test_a_diagnosis_of_any_graph_names_one_of_its_stages_that_is_not_itself_held_back(
    graph: tuple[Mapping[str, StageStatus], Mapping[str, EdgeStatus]],
) -> None:
    stages, edges = graph
    made = status(list(stages.values()), list(edges.values()))
    assert made.bottleneck is None or made.bottleneck in stages
    if made.bottleneck is not None:
        has_outputs = any(ends(name)[0] == made.bottleneck for name in edges)
        held_back = stages[made.bottleneck].output_wait_share >= 0.25 and has_outputs
        assert not held_back
    assert explain(made, cores=2)
