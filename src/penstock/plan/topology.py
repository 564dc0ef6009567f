"""Who sends what to whom: the facts that follow from a plan and the slots that its stages have. Pure.

The engine makes files by it, the supervisor is given it, workers are put together by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.batch import Batch
from penstock.plan.membership import Membership, first_membership
from penstock.plan.plan import EdgePlan, Plan, Route, StagePlan
from penstock.sink import WrittenText


class Slot(msgspec.Struct, frozen=True):
    """One slot: the stages of its group, in plan order. A worker lives in it, or the calling process reads there."""

    group: str
    number: int
    stages: tuple[StagePlan, ...]

    @property
    def caller(self) -> bool:
        """True: the calling process reads what arrives here."""
        return self.stages[0].caller


class Channel(msgspec.Struct, frozen=True):
    """One queue: from a slot of the edge's sender to a slot of its receiver."""

    edge: EdgePlan
    sender: int
    receiver: int


class Topology(msgspec.Struct, frozen=True):
    """A plan whose stages have slots."""

    plan: Plan
    membership: Membership

    @classmethod
    def first(cls, plan: Plan) -> Topology:
        """That of a run that begins."""
        return cls(plan, first_membership(plan))

    # Slots.

    def workers(self, stage: str) -> int:
        """How many slots a stage has."""
        return self.membership.slots[stage]

    def slots(self) -> Iterator[Slot]:
        """All slots of all stages."""
        for group, stages in self.plan.slot_groups().items():
            for number in range(self.workers(stages[0].name)):
                yield Slot(group, number, stages)

    def slot(self, group: str, number: int) -> Slot:
        return Slot(group, number, self.plan.slot_groups()[group])

    def splits(self, stage: StagePlan, slot: int) -> dict[str, Any]:
        """The splits of its source that a slot reads."""
        names = list(stage.splits)
        return {name: stage.splits[name] for name in names[slot :: self.workers(stage.name)]}

    # Channels.

    def channels(self) -> Iterator[Channel]:
        """All queues of all edges."""
        for edge in self.plan.edges:
            for sender, receiver in self.pairs(edge):
                yield Channel(edge, sender, receiver)

    def pairs(self, edge: EdgePlan) -> list[tuple[int, int]]:
        """The (sending slot, receiving slot) pairs of an edge, in a fixed order."""
        return edge.channels(self.workers(edge.sender), self.workers(edge.receiver))

    def receivers(self, edge: EdgePlan, slot: int) -> list[int]:
        """The receiving slots that a sending slot has a queue to."""
        return [receiver for sender, receiver in self.pairs(edge) if sender == slot]

    def senders(self, edge: EdgePlan, slot: int) -> list[int]:
        """The sending slots that a receiving slot has a queue from."""
        return [sender for sender, receiver in self.pairs(edge) if receiver == slot]

    def sending_neighbours(self, slot: Slot) -> list[tuple[str, int]]:
        """The stages and slots that send to a slot, each once."""
        return list(dict.fromkeys(
            (edge.sender, sender)
            for stage in slot.stages for edge in self.plan.inputs(stage.name)
            for sender in self.senders(edge, slot.number)
        ))

    def receiving_neighbours(self, slot: Slot) -> list[tuple[str, int]]:
        """The stages and slots that a slot sends to, each once."""
        return list(dict.fromkeys(
            (edge.receiver, receiver)
            for stage in slot.stages for edge in self.plan.outputs(stage)
            for receiver in self.receivers(edge, slot.number)
        ))

    # Routes.

    def route(self, edge: EdgePlan) -> Route:
        """Behind an ordered stage rows are dealt by turns, not to whoever has room: the merge must know to whom."""
        if edge.merge and edge.route is Route.BALANCE and self.workers(edge.receiver) > 1:
            return Route.DEAL
        return edge.route

    def counts_turns(self, edge: EdgePlan) -> bool:
        """True: every turn is sent with its number and its end, for the receivers take turns in order."""
        return edge.merge or self.route(edge) is Route.DEAL

    def stride(self, edge: EdgePlan) -> int:
        """From one turn of an edge that a slot sees to the next one that it sees."""
        return self.workers(edge.receiver) if self.route(edge) is Route.DEAL else 1

    def first_turn(self, edge: EdgePlan, slot: int) -> int:
        """The first turn of an edge that a receiving slot sees."""
        return slot if self.route(edge) is Route.DEAL else 0

    def key_table(self, edge: EdgePlan) -> tuple[int, ...]:
        """The receiving slot that owns each key group; empty: the edge has no key."""
        return self.membership.tables[edge.receiver] if edge.route is Route.HASH else ()

    def carries_turns(self, stage: StagePlan) -> bool:
        """True: what a stage gives out has the turn numbers of what it takes in."""
        return stage.settings.ordered and self.workers(stage.name) > 1


def text_of(plan: Plan, edge: EdgePlan) -> Callable[[Batch[Any]], WrittenText] | None:
    """How the sender makes the text that is written behind the edge; None: it sends rows.

    Not where every receiver gets every row: each refuses a row without text, and the sender gave it out all the same.
    """
    receiver = plan.stages[edge.receiver]
    if receiver.sink is None or receiver.nodes or edge.route is Route.BROADCAST:
        return None
    return receiver.sink.text


def has_coroutines(stages: tuple[StagePlan, ...]) -> bool:
    """True: rows of one of the stages are coroutines."""
    return any(node.operator.is_async for stage in stages for node in stage.nodes)


def with_splits(plan: Plan, splits: dict[str, dict[str, Any]]) -> Plan:
    """The plan with its sources' splits frozen."""
    stages = {
        name: replace(stage, splits=splits[name]) if name in splits else stage for name, stage in plan.stages.items()
    }
    return replace(plan, stages=stages)
