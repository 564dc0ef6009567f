"""The slots and queues of a run as its `layout.json` tells them, in the order in which a cut reads them. Pure.

Downstream first: sinks, then their senders, ..., sources last. A frame is published after its sender's commit, so at
any moment a reader's committed head is at most its sender's committed tail, and tails only grow. Read in this order,
the head of every channel is at most its tail, and what lies between is what was in the channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import msgspec

from penstock.metrics.layout import Layout
from penstock.plan.paths import RunPaths


class SlotFiles(msgspec.Struct, frozen=True):
    """A slot and its files, relative to the run directory."""

    group: str
    number: int
    caller: bool
    stages: tuple[str, ...]
    """In the order of its record's stages."""

    def journal(self, paths: RunPaths) -> Path:
        return paths.caller_journal if self.caller else paths.slot(self.group, self.number).journal

    def bell(self, paths: RunPaths) -> Path:
        return paths.caller_bell if self.caller else paths.slot(self.group, self.number).bell

    def durable(self, paths: RunPaths) -> Path:
        """Not the caller's, who has none."""
        return paths.slot(self.group, self.number).durable

    def folder(self, paths: RunPaths) -> Path:
        return self.journal(paths).parent


class ChannelFile(msgspec.Struct, frozen=True):
    """A queue, and the slots at its ends by their places in `RunShape.slots`."""

    name: str
    path: str
    """Relative to the run directory."""
    sender: int
    sending_stage: str
    receiver: int
    receiving_stage: str


class RunShape(msgspec.Struct, frozen=True):
    """All of a run."""

    slots: tuple[SlotFiles, ...]
    """Downstream first."""
    channels: tuple[ChannelFile, ...]


def shape_of(layout: Layout) -> RunShape:
    """Raises `graphlib.CycleError` for a graph with a cycle, which no pipeline has."""
    stages = {stage.name: stage for stage in layout.stages}
    feeds: dict[str, set[str]] = {stage.slot_group: set() for stage in layout.stages}
    for edge in layout.edges:
        feeds[stages[edge.sender].slot_group].add(stages[edge.receiver].slot_group)
    slots = [
        SlotFiles(group, number, members[0].caller, tuple(stage.name for stage in members))
        for group in TopologicalSorter(feeds).static_order()  # a group comes after those that it feeds
        for members in [[stage for stage in layout.stages if stage.slot_group == group]]
        for number in range(members[0].workers)
    ]
    places = {(slot.group, slot.number): place for place, slot in enumerate(slots)}
    channels = [
        _channel(path, edge.sender, edge.receiver, places, {name: stage.slot_group for name, stage in stages.items()})
        for edge in layout.edges for path in edge.queues
    ]
    return RunShape(tuple(slots), tuple(channels))


def _channel(
    path: str, sender: str, receiver: str, places: Mapping[tuple[str, int], int], groups: Mapping[str, str]
) -> ChannelFile:
    name = Path(path).name
    given, _, taken = name.rpartition(".")[2].partition("-")
    sending, receiving = places[groups[sender], int(given)], places[groups[receiver], int(taken)]
    return ChannelFile(name, path, sending, sender, receiving, receiver)
