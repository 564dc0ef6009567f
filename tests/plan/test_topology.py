"""Topology: slots, queues and neighbours follow from the plan and the slots of its stages."""

from __future__ import annotations

from typing import Any

import pytest

import penstock as ps
from penstock.connectors import files
from penstock.plan.membership import Membership, dealt
from penstock.plan.plan import Plan, Route
from penstock.plan.topology import Channel, Topology, has_coroutines, text_of, with_splits


def same(row: dict[str, int]) -> dict[str, int]:
    return row


async def later(row: dict[str, int]) -> dict[str, int]:
    return row


def plan(*, keyed: bool = False, fn: Any = same, **options: Any) -> Plan:
    app = ps.Pipeline("app")
    stage = app.source([{"a": n} for n in range(4)]).stage("x", **options)
    (stage.key_by("a") if keyed else stage).map(fn).stage("y", workers=2).map(same).sink(print)
    return app.plan()


def rescaled(found: Plan, **slots: int) -> Topology:
    first = Topology.first(found)
    membership = first.membership
    for stage, count in slots.items():
        membership = membership.rescaled(stage, count)
    return Topology(found, membership)


def channels_of(topology: Topology, edge: str) -> list[tuple[int, int]]:
    return [(c.sender, c.receiver) for c in topology.channels() if c.edge.name == edge]


def test_a_run_has_a_slot_for_each_worker_asked_for() -> None:
    found = [(slot.group, slot.number) for slot in Topology.first(plan(workers=3)).slots()]
    assert found == [("items", 0), ("x", 0), ("x", 1), ("x", 2), ("y", 0), ("y", 1), ("stdout", 0)]


def test_slots_and_queues_are_those_of_the_membership_not_of_the_plan() -> None:
    topology = rescaled(plan(workers=3), x=2)
    assert [slot.number for slot in topology.slots() if slot.group == "x"] == [0, 1]
    assert channels_of(topology, "items->x") == [(0, 0), (0, 1)]
    assert channels_of(topology, "x->y") == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_each_queue_has_the_two_slots_at_its_ends_as_neighbours() -> None:
    topology = Topology.first(plan(workers=3))
    for channel in topology.channels():
        assert isinstance(channel, Channel)
        assert channel.receiver in topology.receivers(channel.edge, channel.sender)
        assert channel.sender in topology.senders(channel.edge, channel.receiver)
    x = topology.slot("x", 1)
    assert topology.sending_neighbours(x) == [("items", 0)]
    assert topology.receiving_neighbours(x) == [("y", 0), ("y", 1)]


def test_keys_have_the_table_of_their_receiver() -> None:
    found = plan(keyed=True, workers=3)
    edge = found.edge("items->x")
    assert Topology.first(found).key_table(edge) == dealt(3)
    assert rescaled(found, x=4).key_table(edge) == rescaled(found, x=4).membership.tables["x"]
    assert Topology.first(found).key_table(found.edge("x->y")) == ()


@pytest.mark.parametrize(("ordered", "route", "first_turns", "stride"), [
    (True, Route.DEAL, [0, 1, 2], 3), (False, Route.BALANCE, [0, 0, 0], 1),
])  # fmt: skip
def test_an_ordered_stage_is_dealt_turns(ordered: bool, route: Route, first_turns: list[int], stride: int) -> None:
    found = plan(workers=3, ordered=ordered)
    topology, edge = Topology.first(found), found.edge("items->x")
    assert topology.route(edge) is route
    assert topology.counts_turns(edge) is ordered
    assert [topology.first_turn(edge, slot) for slot in range(3)] == first_turns
    assert topology.stride(edge) == stride
    assert topology.carries_turns(found.stages["x"]) is ordered


def test_splits_are_shared_out_and_each_has_one_slot() -> None:
    app = ps.Pipeline("app")
    app.source(list(range(9)), workers=2).sink(print)
    found = app.plan()
    (stage,) = (stage for stage in found.stages.values() if stage.source is not None)
    splits = {f"split {n}": n for n in range(5)}
    topology = Topology.first(with_splits(found, {stage.name: splits}))
    stage = topology.plan.stages[stage.name]
    of_slots = [topology.splits(stage, slot) for slot in range(2)]
    assert of_slots[0] | of_slots[1] == splits
    assert not of_slots[0].keys() & of_slots[1].keys()


def test_coroutines_are_seen() -> None:
    assert has_coroutines((plan(fn=later).stages["x"],))
    assert not has_coroutines((plan().stages["x"],))


def test_text_is_made_by_senders_only_where_the_sink_writes_what_comes_as_it_is(tmp_path: Any) -> None:
    app = ps.Pipeline("app")
    app.source([{"a": 1}]).stage("x").map(same).sink(files.json_lines(tmp_path / "out.jsonl"))
    found = app.plan()
    assert [text_of(found, edge) is not None for edge in found.edges] == [
        found.stages[edge.receiver].sink is not None and not found.stages[edge.receiver].nodes for edge in found.edges
    ]


def test_a_membership_without_the_stage_is_an_error_and_no_guess() -> None:
    with pytest.raises(KeyError):
        Topology(plan(), Membership(1, {}, {})).workers("x")
