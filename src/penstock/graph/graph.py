"""What the user asked for, call by call, in frozen values: `pipeline` records it, checks and planner read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from penstock.operators.each import Each
from penstock.operators.verb import Operator
from penstock.options import Edge
from penstock.sink import Sink
from penstock.source import Source

DEFAULT_EDGE = Edge()
"""The edge of a call that was given none; known by identity, since `Edge()` may be written out, too."""


class Where(msgspec.Struct, frozen=True):
    """The user's file and line of one call."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class SourceCall(msgspec.Struct, frozen=True):
    """`app.source(...)`: opens a stage."""

    where: Where
    given: object
    """What the user passed."""
    source: Source[Any] | None
    """What it means; None: nothing that can be read (a mistake)."""
    name: str | None
    options: Mapping[str, object]


class StageCall(msgspec.Struct, frozen=True):
    """`.stage(...)`: opens a stage that is fed by `parent`."""

    where: Where
    parent: int
    name: str
    edge: Edge
    options: Mapping[str, object]


class OperatorCall(msgspec.Struct, frozen=True):
    """`.map(...)` and the like: a node of the stage of `parent`."""

    where: Where
    parent: int
    operator: Operator
    other: int | None = None
    """Of a `join`: the stream that is joined, which enters the stage beside its own input."""


KEYS_ARE = (
    "keys are None, numbers, str, bytes, dates and times, UUIDs, enums, and tuples, frozensets, frozen dataclasses and "
    "frozen Structs of these"
)


class KeyByCall(msgspec.Struct, frozen=True):
    """`.key_by(...)`: rows of one key go to one worker of the stage that `parent` opened."""

    where: Where
    parent: int
    key: object


class BroadcastCall(msgspec.Struct, frozen=True):
    """`.broadcast()`: every worker of the stage that `parent` opened gets every row."""

    where: Where
    parent: int


class MergeCall(msgspec.Struct, frozen=True):
    """`.merge(...)`: has no stage; the stage that follows has all `parents` as inputs."""

    where: Where
    parents: tuple[int, ...]


class SinkCall(msgspec.Struct, frozen=True):
    """`.sink(...)`: opens a stage, or (`fused`) ends the stage of `parent`."""

    where: Where
    parent: int
    given: object
    sink: Sink[Any] | Each | None
    """What it means; None: nothing that can be written to (a mistake)."""
    name: str | None
    fused: bool
    edge: Edge
    options: Mapping[str, object]
    visible: str = "at once"


class ResultsCall(msgspec.Struct, frozen=True):
    """`.results()`: rows go to the calling process."""

    where: Where
    parent: int


Call: TypeAlias = (
    SourceCall | StageCall | OperatorCall | KeyByCall | BroadcastCall | MergeCall | SinkCall | ResultsCall
)
Opener: TypeAlias = SourceCall | StageCall | SinkCall | ResultsCall
"""The calls that open a stage (a fused sink does not)."""


def parents_of(call: Call) -> tuple[int, ...]:
    """The numbers of the calls whose streams a call was made on."""
    match call:
        case SourceCall():
            return ()
        case MergeCall():
            return call.parents
        case OperatorCall(other=int() as other):
            return (call.parent, other)
        case _:
            return (call.parent,)


class Graph(msgspec.Struct, frozen=True):
    """All calls of one pipeline, by number; a call's parents have lower numbers than it."""

    pipeline: str
    where: Where
    calls: Mapping[int, Call]
    strangers: tuple[Where, ...] = ()
    """Merges with a stream of another pipeline."""

    def consumers(self) -> dict[int, list[int]]:
        """For each call the calls that were made on its stream."""
        found: dict[int, list[int]] = {number: [] for number in self.calls}
        for number, call in self.calls.items():
            for parent in parents_of(call):
                found[parent].append(number)
        return found

    def without(self, loose: frozenset[int]) -> Graph:
        """The graph less the streams in `loose` that nothing was made of, and less what only fed those.

        `results()` leaves such streams behind: they end in the caller while it reads, and in nothing afterwards.
        """
        calls = dict(self.calls)
        consumers = self.consumers()
        for number in sorted(calls, reverse=True):
            if isinstance(calls[number], SinkCall | ResultsCall):
                continue
            wanted = any(consumer in calls for consumer in consumers[number])
            if not wanted and (consumers[number] or number in loose):
                del calls[number]
        return Graph(self.pipeline, self.where, calls, self.strangers)
