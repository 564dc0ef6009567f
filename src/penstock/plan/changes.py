"""What has changed from an earlier run to a plan: what may, what may where nothing is on its way, what may not. Pure.

Code and options are no part of a layout. Numbers of workers and sizes of queues may change at any time. Rows on their
way, and rows that wait for a retry, are of the types and for the operators that they were sent to: where these change,
nothing may be there. Positions and state mean nothing to another source, another target, another key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from penstock.plan.earlier_layout import EarlierLayout, EarlierStage, earlier_layout
from penstock.plan.fingerprint import ARGUMENTS, fingerprint
from penstock.plan.membership import Membership
from penstock.plan.plan import Plan

DRAIN = "resume with the old description and drain it first"


class Changes(msgspec.Struct, frozen=True):
    """From an earlier run to a plan."""

    earlier: EarlierLayout
    refused: list[str]
    """What cannot be resumed, whatever is on its way; a line for each."""
    empty: dict[str, str]
    """Edges of the earlier run in which nothing may be on its way, and why."""
    moved: dict[str, str]
    """Edges that are gone, and the new ones that take over what is in them: a stage was put in between."""
    rescaled: dict[str, tuple[int, int]]
    """Stages of both with another number of slots: before, and from now on."""
    gone: list[str]
    come: list[str]
    """Stages."""

    @property
    def told(self) -> list[str]:
        """What is new, in words."""
        workers = [f"stage {name}: workers {before} -> {now}" for name, (before, now) in self.rescaled.items()]
        gone, come = [f"stage {name} is gone" for name in self.gone], [f"stage {name} is new" for name in self.come]
        return workers + gone + come

    def is_same(self, lines: Mapping[str, str], plan: Plan) -> bool:
        """True: the run can be taken over as it is. `lines`: of the earlier run."""
        old = {name: line for name, line in lines.items() if name != ARGUMENTS}
        return not self.rescaled and old == {n: line for n, line in fingerprint(plan).items() if n != ARGUMENTS}

    def come_sinks(self, plan: Plan) -> list[str]:
        """Stages with a sink that the earlier run did not have."""
        return [
            name for name, stage in plan.stages.items()
            if stage.sink is not None and (name not in self.earlier.stages or not self.earlier.stages[name].ends)
        ]


def changes(lines: Mapping[str, str], membership: Membership, plan: Plan) -> Changes:
    """`lines`, `membership`: of the earlier run. Raises `ValueError` for lines of another form."""
    was = earlier_layout(lines)
    now = earlier_layout({name: line for name, line in fingerprint(plan).items() if name != ARGUMENTS})
    rescaled = {
        name: (membership.slots[name], stage.settings.workers) for name, stage in plan.stages.items()
        if membership.slots.get(name, stage.settings.workers) != stage.settings.workers
    }
    moved = _moved(was, now)
    refused = [line for name in was.stages if name in now.stages for line in _stage(was.stages[name], now.stages[name])]
    refused += _keys(was, now, plan)
    return Changes(
        was, refused, {name: why for name, why in _empty(was, now, rescaled) if name not in moved}, moved, rescaled,
        [name for name in was.stages if name not in now.stages],
        [name for name in now.stages if name not in was.stages],
    )


def _stage(was: EarlierStage, now: EarlierStage) -> Iterator[str]:
    if was.ends != now.ends and not (now.ends.startswith("writes ") and not was.ends):
        yield f"stage {was.name}: {was.ends or 'nothing read or written'} -> {now.ends or 'nothing read or written'}"
    if was.group != now.group:
        yield f"stage {was.name}: slot group {was.group} -> {now.group}"


def _keys(was: EarlierLayout, now: EarlierLayout, plan: Plan) -> Iterator[str]:
    """State by one key is no state by another."""
    for name, edge in was.edges.items():
        becomes = now.edges.get(name)
        if becomes is None or edge.how.removesuffix(" in turn") == becomes.how.removesuffix(" in turn"):
            continue
        if any(node.operator.writes_state for node in plan.stages[edge.receiver].nodes):
            yield f"edge {name}: {edge.how} -> {becomes.how}, and stage {edge.receiver} has state"


def _empty(was: EarlierLayout, now: EarlierLayout, rescaled: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, edge in was.edges.items():
        becomes = now.edges.get(name)
        ends = (edge.sender, edge.receiver)
        if becomes is None:
            yield name, f"edge {name} is gone"
        elif edge.rows != becomes.rows:
            yield name, f"edge {name}: rows {edge.rows} -> {becomes.rows}"
        elif edge.how != becomes.how:
            yield name, f"edge {name}: {edge.how} -> {becomes.how}"
        elif any(was.stages[end].order != now.stages[end].order for end in ends):
            yield name, f"edge {name}: one of its stages is ordered and the other description has it unordered"
        elif edge.counts_turns and any(end in rescaled for end in ends):
            yield name, f"edge {name}: its turns are counted, and the number of workers changes"


def _moved(was: EarlierLayout, now: EarlierLayout) -> dict[str, str]:
    """Where a stage was put between two others: what was on its way to the second is on its way to the new one."""
    found = {}
    for name, edge in was.edges.items():
        if name in now.edges or edge.receiver not in now.stages:
            continue
        new = [
            other.name for other in now.edges.values()
            if other.sender == edge.sender and other.receiver not in was.stages and other.rows == edge.rows
            and any(further.sender == other.receiver and further.receiver == edge.receiver
                    for further in now.edges.values())
        ]
        if len(new) == 1 and not edge.counts_turns and not now.edges[new[0]].counts_turns:
            found[name] = new[0]
    return found
