"""How many descriptors the processes of a run need: all follows from the topology. Pure.

Looked at before anything is made or started, and so apart from what that takes.
"""

from __future__ import annotations

from collections import defaultdict

from penstock.plan.topology import Topology
from penstock.supervisor import descriptors


def descriptors_needed(topology: Topology) -> int:
    """How many descriptors the process of the run has that needs the most of them."""
    near: defaultdict[tuple[str, int], set[tuple[str, int]]] = defaultdict(set)
    for channel in topology.channels():
        sender, receiver = (channel.edge.sender, channel.sender), (channel.edge.receiver, channel.receiver)
        near[sender].add(receiver)
        near[receiver].add(sender)
    return descriptors.needed(
        descriptors.SlotNeeds(
            len(slot.stages), len(set().union(*(near[stage.name, slot.number] for stage in slot.stages)))
        )
        for slot in topology.slots() if not slot.caller
    )


def descriptors_of_caller(topology: Topology) -> int:
    """How many descriptors a run takes in the calling process."""
    pages = sum(len(slot.stages) for slot in topology.slots())
    return descriptors.CALLER + pages + descriptors.PER_CALLER_QUEUE * _caller_queues(topology)


def _caller_queues(topology: Topology) -> int:
    stages = topology.plan.stages
    return sum(stages[channel.edge.receiver].caller for channel in topology.channels())
