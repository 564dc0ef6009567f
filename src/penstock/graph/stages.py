"""Which stage each call belongs to: the tree of calls under every call that opens one. Never fails, whatever was asked.

Used by the checks, which explain what is wrong in it, and by `plan.fusion`, which makes stages of what is right.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from penstock.graph.graph import (
    BroadcastCall,
    Graph,
    KeyByCall,
    MergeCall,
    Opener,
    OperatorCall,
    ResultsCall,
    SinkCall,
    SourceCall,
    StageCall,
    Where,
)
from penstock.names import STAGE_CHARACTERS, label_of
from penstock.operators.each import Each
from penstock.operators.verb import Operator

RESULTS = "results"
"""Name of the stage in which the calling process reads."""


class Stage(msgspec.Struct, frozen=True):
    """One stage as the user wrote it."""

    number: int
    """Of the call that opened it."""
    opener: Opener
    name: str
    inputs: tuple[int, ...]
    """Calls whose rows enter, merges taken apart; empty for a source. Those that are joined come last."""
    operators: tuple[int, ...]
    """Numbers of its `OperatorCall`s, parents first."""
    routing: tuple[int, ...]
    """Numbers of its `key_by` and `broadcast` calls: one at most, if all is well."""
    fused_sinks: tuple[int, ...]
    joined: int = 0
    """How many of the inputs are joined."""

    def is_joined(self, place: int) -> bool:
        """True: the input in this place is the right side of the stage's join."""
        return place >= len(self.inputs) - self.joined

    @property
    def where(self) -> Where:
        return self.opener.where


class Stages(msgspec.Struct, frozen=True):
    """All stages, by the number of the call that opened them, senders before receivers."""

    graph: Graph
    by_number: Mapping[int, Stage]
    home: Mapping[int, int]
    """For each call inside a stage the number of that stage; merges have none."""

    def of(self, call: int) -> Stage | None:
        """The stage that a call was written in."""
        number = self.home.get(call)
        return None if number is None else self.by_number[number]

    def routing_of(self, stage: Stage) -> KeyByCall | BroadcastCall | None:
        """The call that says which worker of the stage gets a row."""
        for number in stage.routing:
            call = self.graph.calls[number]
            if isinstance(call, KeyByCall | BroadcastCall):
                return call
        return None

    def operators_in(self, stage: Stage) -> list[Operator]:
        """What the user wrote in a stage, a function given to `sink` included."""
        calls = (self.graph.calls[n] for n in stage.operators)
        found = [call.operator for call in calls if isinstance(call, OperatorCall)]
        ends = [self.graph.calls[n] for n in stage.fused_sinks]
        ends += [stage.opener] if isinstance(stage.opener, SinkCall) else []
        return found + [end.sink for end in ends if isinstance(end, SinkCall) and isinstance(end.sink, Each)]


def stages_of(graph: Graph) -> Stages:
    """Sort the calls of a graph into stages."""
    home: dict[int, int] = {}
    openers: dict[int, Opener] = {}
    for number, call in graph.calls.items():
        match call:
            case SourceCall() | StageCall() | ResultsCall():
                openers[number] = call
                home[number] = number
            case SinkCall(fused=False):
                openers[number] = call
                home[number] = number
            case MergeCall():
                pass
            case _ if call.parent in home:
                home[number] = home[call.parent]
    stages = {n: _stage(graph, n, opener, home) for n, opener in openers.items()}
    return Stages(graph, _senders_first(stages, home), home)


def _senders_first(stages: Mapping[int, Stage], home: Mapping[int, int]) -> dict[int, Stage]:
    """In the order of their calls, but that a stage which is joined comes before the one that joins it.

    A stage that is joined to what comes of itself has no place; it keeps its own (`join_rules` tells of it).
    """
    placed: dict[int, Stage] = {}
    beginning: set[int] = set()

    def place(number: int) -> None:
        if number in placed or number in beginning:
            return
        beginning.add(number)
        for call in stages[number].inputs:
            if call in home:
                place(home[call])
        placed[number] = stages[number]

    for number in stages:
        place(number)
    return placed


def _stage(graph: Graph, number: int, opener: Opener, home: Mapping[int, int]) -> Stage:
    inside = {n: graph.calls[n] for n, stage in home.items() if stage == number and n != number}
    others = [call.other for call in inside.values() if isinstance(call, OperatorCall) and call.other is not None]
    joined = tuple(part for other in others for part in inputs_of(graph, other))
    return Stage(
        number,
        opener,
        name_of(opener),
        () if isinstance(opener, SourceCall) else (*inputs_of(graph, opener.parent), *joined),
        tuple(n for n, call in inside.items() if isinstance(call, OperatorCall)),
        tuple(n for n, call in inside.items() if isinstance(call, KeyByCall | BroadcastCall)),
        tuple(n for n, call in inside.items() if isinstance(call, SinkCall)),
        len(joined),
    )


def inputs_of(graph: Graph, stream: int) -> tuple[int, ...]:
    """The streams that a stream consists of: itself, or what was merged into it."""
    call = graph.calls[stream]
    if not isinstance(call, MergeCall):
        return (stream,)
    return tuple(part for parent in call.parents for part in inputs_of(graph, parent))


def name_of(opener: Opener) -> str:
    """The stage's name: the user's, else the label of what is read or written."""
    match opener:
        case StageCall():
            return str(opener.name)
        case ResultsCall():
            return RESULTS
        case SourceCall():
            label = "" if opener.source is None else opener.source.label
        case SinkCall():
            label = label_of_sink(opener)
    return label[:STAGE_CHARACTERS] if opener.name is None else str(opener.name)


def label_of_sink(call: SinkCall) -> str:
    """The name of a sink that was given none."""
    match call.sink:
        case None:
            return ""
        case Each():
            return label_of(call.sink.fn)
        case _:
            return call.sink.sink_label
