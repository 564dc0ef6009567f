"""What will run: stages with their operator trees, edges with their queues. A value: printed, compared, shipped.

The planner makes it of a graph and settings; `engine` deploys it; workers read it. Nothing here acts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import msgspec

from penstock.operators.event_time import EventTime
from penstock.operators.verb import Operator
from penstock.options import ROW_OUTPUT_MAX, ErrorPolicy, parse_size
from penstock.sink import Sink
from penstock.source import Source


class Route(Enum):
    """Which slot of the receiving stage a row goes to."""

    FORWARD = "forward"
    """Slot i to slot i; both stages have the same number of workers."""
    BALANCE = "balance"
    """The slot with most room, a batch at a time."""
    HASH = "hash"
    """The slot that owns the row's key."""
    BROADCAST = "broadcast"
    """Every slot gets every row."""
    DEAL = "deal"
    """Turn t to slot t mod n: the split of an ordered stage."""


class Node(msgspec.Struct, frozen=True):
    """One operator in a stage's tree."""

    operator: Operator
    parent: int
    """Index of the node that feeds it; -1: the stage's input."""


class Output(msgspec.Struct, frozen=True):
    """Rows that leave a stage: the result of `node` (-1: the stage's input as it came) goes to `edge`."""

    node: int
    edge: str


class StageSettings(msgspec.Struct, frozen=True):
    """A stage's options with every text turned into numbers."""

    workers: int = 1
    """As many as are asked for; a run has those of its `Membership`."""
    ordered: bool = False
    concurrency: int = 16
    on_error: ErrorPolicy = msgspec.field(default_factory=lambda: ErrorPolicy("dead_letter", 100))
    retries: int = 0
    retry_delay_s: float = 0.2
    retry_delay_max_s: float = 30.0
    retry_on: tuple[type[Exception], ...] = (Exception,)
    timeout_s: float | None = None
    max_restarts: tuple[float, float] = (10.0, 60.0)
    """This many unblamed deaths within this many seconds."""
    unavailable_for_s: float = 3600.0
    row_output_max: int = parse_size(ROW_OUTPUT_MAX)
    """Bytes that one row may give."""
    state_cache_bytes: int = 0
    """State by key is on disk, but for so much of it; 0: all of it is in memory."""
    workers_most: int = 1
    """The upper end of `workers=(1, 8)`; the stage runs with `workers`."""


class StagePlan(msgspec.Struct, frozen=True):
    """One stage: what enters, the tree of operators, what leaves."""

    name: str
    settings: StageSettings
    nodes: tuple[Node, ...] = ()
    """Parents stand before their children."""
    outputs: tuple[Output, ...] = ()
    source: Source[Any] | None = None
    source_type: Any = Any
    """Annotation of the source's rows."""
    splits: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """The source's frozen splits; filled in at deployment."""
    sink: Sink[Any] | None = None
    sink_node: int = -1
    """The node whose rows the sink is given; -1: the stage's input."""
    caller: bool = False
    """True: the calling process reads what arrives here (`results()`); no worker runs."""
    slot_group: str = ""
    """Stages of one group share their slots; a group has the name of its first stage."""
    where: str = ""
    """file:line where the stage was opened."""
    timed: bool = False
    """True: its rows have event times, given here or in front of it, and its receivers are told how far these are."""

    @property
    def event_time(self) -> EventTime | None:
        """How rows are given their times here; None: they have them already, or none at all."""
        return next((node.operator for node in self.nodes if isinstance(node.operator, EventTime)), None)


class EdgePlan(msgspec.Struct, frozen=True):
    """One edge: a queue from each sending slot to each receiving slot (`forward`: slot i to slot i only)."""

    name: str
    """`sender->receiver`, with `#2` and so on behind it where there are several."""
    sender: str
    receiver: str
    route: Route
    memory_bytes: int
    """Budget of the whole edge."""
    channel_bytes: int
    """Capacity of each queue."""
    batch_rows: int
    linger_s: float
    row_type: Any = Any
    """Annotation of a row, where known; chooses the codec."""
    key: str | Callable[[Any], Any] | None = None
    """For `HASH`: field name or function."""
    key_where: str = ""
    on_error: ErrorPolicy = msgspec.field(default_factory=lambda: ErrorPolicy("dead_letter"))
    """The receiving stage's policy, for what senders do in its stead: keys, and the text of its sink."""
    timeout_s: float | None = None
    """The receiving stage's time-out, for its keys."""
    is_right: bool = False
    """True: the receiver joins its rows to those of its other inputs."""
    merge: bool = False
    """True: the receiver takes turns in the order of their numbers (behind an ordered stage)."""

    def channels(self, senders: int, receivers: int) -> list[tuple[int, int]]:
        """The (sending slot, receiving slot) pairs, in a fixed order."""
        if self.route is Route.FORWARD:
            return [(i, i) for i in range(senders)]
        return [(s, r) for s in range(senders) for r in range(receivers)]


class Plan(msgspec.Struct, frozen=True):
    """Everything that will run."""

    pipeline: str
    stages: Mapping[str, StagePlan]
    """In the order of the graph: senders before receivers."""
    edges: tuple[EdgePlan, ...]

    def inputs(self, stage: str) -> tuple[EdgePlan, ...]:
        """Return the edges that end at a stage."""
        return tuple(edge for edge in self.edges if edge.receiver == stage)

    def outputs(self, stage: StagePlan) -> tuple[EdgePlan, ...]:
        """Return the edges that a stage sends to, one for each of its outputs."""
        return tuple(self.edge(output.edge) for output in stage.outputs)

    def edge(self, name: str) -> EdgePlan:
        return next(edge for edge in self.edges if edge.name == name)

    def slot_groups(self) -> dict[str, tuple[StagePlan, ...]]:
        """Return the stages by their slot group, in plan order."""
        groups: dict[str, tuple[StagePlan, ...]] = {}
        for stage in self.stages.values():
            groups[stage.slot_group] = (*groups.get(stage.slot_group, ()), stage)
        return groups

    @property
    def bounded(self) -> bool:
        """True if every source ends by itself."""
        return all(stage.source is None or stage.source.bounded for stage in self.stages.values())
