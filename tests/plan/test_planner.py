"""What the planner decides: routes, queues, slot groups, types, trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.operators.map import Map
from penstock.operators.parse_json import ParseJson
from penstock.operators.verb import Operator
from penstock.plan.plan import Plan, Route
from penstock.plan.planner import CHANNEL_LEAST_BYTES, PAGE_BYTES, channel_bytes
from penstock.sequences import SequenceSource
from penstock.sink import Writer
from penstock.source import Reader


class Click(msgspec.Struct, tag=True):
    user: str


class Visit(msgspec.Struct, tag=True):
    page: str


@dataclass(frozen=True)
class Texts(ps.Source[Click]):
    """A source whose reader gives text, to be parsed in its stage."""

    operator: ClassVar[Operator] = ParseJson(None, "texts", Click)

    @property
    def row_type(self) -> Any:
        return Click

    @property
    def parse(self) -> Operator:
        return self.operator

    def open(self, split: Any, position: Any, context: ps.Context) -> Reader[Click]:
        raise NotImplementedError


@dataclass(frozen=True)
class Table(ps.Sink[object]):
    name: str
    database: str | None = None

    @property
    def label(self) -> str:
        return self.name

    @property
    def target(self) -> str:
        return f"{self.database}::{self.name}"

    @property
    def shared_slot(self) -> str | None:
        return self.database

    def writer(self, position: Any, context: ps.Context) -> Writer[object]:
        raise NotImplementedError


def double(n: int) -> int:
    return 2 * n


def planned(stage: dict[str, Any], *, sender: dict[str, Any] | None = None) -> Plan:
    app = ps.Pipeline("app")
    items = app.source(range(10))
    items.stage("a", **(sender or {})).map(double).stage("b", **stage).map(double).sink(print)
    return app.plan()


@pytest.mark.parametrize(
    ("sender", "stage", "route", "merge"),
    [
        ({}, {}, Route.BALANCE, False),
        ({"workers": 2}, {"workers": 3}, Route.BALANCE, False),
        ({"workers": 2}, {"workers": 2, "edge": ps.Edge(route="forward")}, Route.FORWARD, False),
        ({"workers": 2}, {"workers": 3, "edge": ps.Edge(route="balance")}, Route.BALANCE, False),
        ({}, {"workers": 3, "ordered": True}, Route.DEAL, False),
        ({}, {"workers": 1, "ordered": True}, Route.BALANCE, False),
        ({"workers": 2, "ordered": True}, {}, Route.BALANCE, True),
        ({"workers": 2, "ordered": True}, {"workers": 3}, Route.BALANCE, False),
        ({"workers": 2, "ordered": True}, {"workers": 3, "ordered": True}, Route.DEAL, True),
        ({"workers": 2, "ordered": True}, {"workers": 2, "edge": ps.Edge(route="forward")}, Route.FORWARD, False),
        ({"workers": 1, "ordered": True}, {"workers": 3, "ordered": True}, Route.DEAL, False),
    ],
)
def test_routes_follow_from_both_ends(sender: dict[str, Any], stage: dict[str, Any], route: Route, merge: bool) -> None:
    edge = planned(stage, sender=sender).edge("a->b")
    assert (edge.route, edge.merge) == (route, merge)


def test_the_edge_behind_the_last_ordered_stage_is_read_in_turn() -> None:
    assert planned({"workers": 2, "ordered": True}).edge("b->stdout").merge


def test_key_by_routes_by_hash_under_the_policy_of_its_stage() -> None:
    app = ps.Pipeline("app")
    items = app.source(range(10))
    items.stage("x", workers=2, on_error=ps.skip()).key_by(double).map(double).sink(print)
    edge = app.plan().edge("items->x")
    assert edge.route is Route.HASH
    assert edge.key is double
    assert edge.on_error == ps.skip()
    assert edge.key_where.rpartition(":")[0].endswith("test_planner.py")


def test_a_field_as_key_stays_a_name_and_reaches_the_sinks_stage() -> None:
    app = ps.Pipeline("app")
    items = app.source([{"user": "ann"}])
    items.stage("x", workers=2).key_by("user").sink(Table("t"), fused=True)
    plan = app.plan()
    assert plan.edge("items->x").key == "user"
    assert plan.stages["x"].sink == Table("t")
    assert plan.stages["x"].sink_node == -1


def test_broadcast_routes_to_every_worker() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).stage("x", workers=2).broadcast().map(double).sink(print)
    assert app.plan().edge("items->x").route is Route.BROADCAST


def test_all_inputs_of_a_merge_have_the_edge_written_where_they_end() -> None:
    app = ps.Pipeline("app")
    a, b = app.source([1], name="a"), app.source([2], name="b")
    a.merge(b, a.map(double)).stage("x", edge=ps.Edge(memory="2 MiB", batch_rows=7)).map(double).sink(print)
    edges = app.plan().inputs("x")
    assert [edge.name for edge in edges] == ["a->x", "b->x", "a->x#2"]
    assert {(edge.memory_bytes, edge.batch_rows) for edge in edges} == {(2 << 20, 7)}


@given(st.integers(1, 1 << 34), st.integers(1, 64))
def test_queues_share_the_memory_in_whole_pages_and_are_never_too_small(memory: int, channels: int) -> None:
    size = channel_bytes(memory, channels)
    assert size % PAGE_BYTES == 0
    assert size >= CHANNEL_LEAST_BYTES
    assert size == CHANNEL_LEAST_BYTES or memory - PAGE_BYTES * channels < size * channels <= memory


def test_the_channels_of_forward_share_the_memory_among_fewer() -> None:
    forward = planned({"workers": 4, "edge": ps.Edge(route="forward")}, sender={"workers": 4}).edge("a->b")
    assert forward.channel_bytes == (8 << 20) // 4
    assert planned({"workers": 4}, sender={"workers": 4}).edge("a->b").channel_bytes == (8 << 20) // 16


def test_sinks_on_one_database_share_the_slots_of_the_first() -> None:
    app = ps.Pipeline("app")
    items = app.source(range(10))
    items.sink(Table("a", "db"))
    items.sink(Table("b"))
    items.sink(Table("c", "db"))
    items.sink(Table("d", "other"))
    groups = {name: stage.slot_group for name, stage in app.plan().stages.items()}
    assert groups == {"items": "items", "a": "a", "b": "b", "c": "a", "d": "d"}


def test_a_sequence_is_divided_among_the_workers_of_its_stage() -> None:
    app = ps.Pipeline("app")
    app.source(range(10), workers=4).sink(print)
    source = app.plan(settings={"items.workers": 3}).stages["items"].source
    assert isinstance(source, SequenceSource)
    assert len(source.splits()) == 3


def test_parsing_of_a_source_comes_before_all_that_was_written_in_its_stage() -> None:
    app = ps.Pipeline("app")
    clicks = app.source(Texts())
    clicks.map(str).sink(print)
    clicks.sink(ps.discard())
    stage = app.plan().stages["texts"]
    assert [(node.operator.name, node.parent) for node in stage.nodes] == [("parse_json(Click)", -1), ("map(str)", 0)]
    assert [output.node for output in stage.outputs] == [1, 0]
    assert stage.source_type is Any
    assert app.plan().edge("texts->discard").row_type is Click


def test_a_source_that_is_only_parsed_may_say_what_becomes_of_errors() -> None:
    app = ps.Pipeline("app")
    app.source(Texts(), on_error=ps.skip()).sink(ps.discard())
    assert app.plan().stages["texts"].settings.on_error == ps.skip()


def test_a_function_given_to_sink_is_an_operator_of_a_stage_without_outputs() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).sink(double, workers=2)
    stage = app.plan().stages["double"]
    assert [node.operator.name for node in stage.nodes] == ["each(double)"]
    assert stage.outputs == ()
    assert stage.sink is None
    assert stage.settings.workers == 2


def test_a_function_fused_as_sink_hangs_on_the_operator_before_it() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).stage("x").map(double).filter(bool).sink(double, fused=True)
    stage = app.plan().stages["x"]
    assert [(node.operator.verb, node.parent) for node in stage.nodes] == [("map", -1), ("filter", 0), ("each", 1)]


def test_a_range_of_workers_runs_with_its_lower_end() -> None:
    settings = planned({"workers": (2, 8)}).stages["b"].settings
    assert (settings.workers, settings.workers_most) == (2, 8)


def to_click(n: int) -> Click:
    return Click(str(n))


class ToVisit:
    def __call__(self, row: Click) -> Visit:
        return Visit(row.user)


class Later:
    async def __call__(self, row: Click) -> Visit:
        return Visit(row.user)


def many(row: int) -> Iterator[Click]:
    yield Click("")


def batch(rows: list[int]) -> list[Visit]:
    return []


def columns(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows


def is_true(row: int) -> TypeGuard[bool]:
    return row is True


@pytest.mark.parametrize(
    ("build", "row_type"),
    [
        (lambda s: s.map(to_click), Click),
        (lambda s: s.map(to_click).filter(bool), Click),
        (lambda s: s.map(to_click).map(ToVisit), Visit),
        (lambda s: s.map(to_click).map(ToVisit()), Visit),
        (lambda s: s.map(to_click).map(Later), Visit),
        (lambda s: s.flat_map(many), Click),
        (lambda s: s.map_many(batch), Visit),
        (lambda s: s.map(str), str),
        (lambda s: s.map(lambda n: n), Any),
        (lambda s: s.filter(is_true), bool),
        (lambda s: s.map(str).parse_json(), Any),
        (lambda s: s.map(str).parse_json(list[int]), list[int]),
        (lambda s: s.map(str).parse_json(Click | Visit), Click | Visit),
        (lambda s: s.map_batches(columns), dict[str, Any]),
        (lambda s: s.map_batches(columns, type=Click), Click),
        (lambda s: s, int),
    ],
)
def test_the_row_type_of_an_edge_is_what_the_annotations_say(build: Any, row_type: object) -> None:
    app = ps.Pipeline("app")
    build(app.source(range(10))).sink(ps.discard())
    assert app.plan().edge("items->discard").row_type == row_type


def test_row_types_pass_through_stages_and_merges() -> None:
    app = ps.Pipeline("app")
    clicks = app.source(range(10), name="a").map(to_click)
    visits = app.source(range(10), name="b").map(to_click).map(ToVisit)
    merged = clicks.merge(visits).stage("x").filter(bool)
    merged.sink(ps.discard())
    plan = app.plan()
    assert {edge.name: edge.row_type for edge in plan.edges} == {
        "a->x": Click, "b->x": Visit, "x->discard": Click | Visit
    }  # fmt: skip


def test_settings_beat_the_code_and_the_code_beats_the_defaults() -> None:
    app = ps.Pipeline("app")
    stage = app.source(range(10)).stage("x", workers=2, retries=1, timeout="2s", edge=ps.Edge(memory="4 MiB"))
    stage.map(double).sink(print)
    plan = app.plan(
        settings={
            "x.workers": "3..8", "x.on_error": "skip", "x.timeout": "none", "x.ordered": "true",
            "x.max_restarts": "3/h", "x.edge.memory": "16MiB", "x.edge.linger": "1ms", "x.edge.batch_rows": 64,
            "stdout.retries": 5,
        }
    )  # fmt: skip
    settings, edge = plan.stages["x"].settings, plan.edge("items->x")
    assert (settings.workers, settings.workers_most, settings.ordered, settings.retries) == (3, 8, True, 1)
    assert (settings.timeout_s, settings.on_error, settings.max_restarts) == (None, ps.skip(), (3.0, 3600.0))
    assert (edge.memory_bytes, edge.linger_s, edge.batch_rows) == (16 << 20, 0.001, 64)
    assert plan.stages["stdout"].settings.retries == 5


def test_the_operator_of_map_batches_knows_its_library() -> None:
    app = ps.Pipeline("app")
    app.source(range(10)).map_batches(columns).sink(print)
    [node] = app.plan().stages["items"].nodes
    assert node.operator.library == "pyarrow.RecordBatch"  # type: ignore[attr-defined]


def test_senders_stand_before_receivers_and_parents_before_children() -> None:
    app = ps.Pipeline("app")
    items = app.source(range(10))
    late = items.stage("late")
    items.stage("early").map(double).sink(print)
    late.map(double).map(double).sink(ps.discard())
    plan = app.plan()
    order = list(plan.stages)
    assert all(order.index(edge.sender) < order.index(edge.receiver) for edge in plan.edges)
    assert all(node.parent < n for stage in plan.stages.values() for n, node in enumerate(stage.nodes))


def test_an_operator_is_described_by_its_verb_and_function() -> None:
    assert Map(double, "a.py:1").name == "map(double)"
