"""The queues of an edge that are made anew, and what their ends have to say of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from penstock.checkpoints.earlier_run import EarlierRun
from penstock.checkpoints.regrouped_rows import Contents, NewFrame, contents
from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.plan.paths import channel_name
from penstock.plan.plan import EdgePlan
from penstock.plan.topology import Topology
from penstock.slot.records.record import InputRecord, OutputRecord
from penstock.slot.watermarks.origin import Origin, together


class NewQueue(msgspec.Struct, frozen=True):
    """One queue from now on, and what both ends have to say of it."""

    name: str
    capacity: int
    taken: InputRecord
    given: OutputRecord
    contents: Contents


class _Old(msgspec.Struct, frozen=True):
    """The ends of a queue that there was."""

    receiver: int
    taken: InputRecord
    given: OutputRecord


def new_queues(
    topology: Topology, edge: EdgePlan, earlier: EarlierRun, was: str, frames: dict[int, NewFrame], now_ns: int
) -> list[NewQueue]:
    """All queues of an edge. `was`: the edge of the earlier run in whose place it is; empty: there was none.

    `frames`: what each receiving slot finds; `now_ns`: the clock on the wall.
    """
    old = [_Old(receiver, *earlier.ends(was, name)) for name, (_, receiver) in earlier.queues(was).items()]
    through = earlier.is_through(edge.sender)
    made, senders_seen = [], set[int]()
    for sender, receiver in topology.pairs(edge):
        first = receiver not in senders_seen  # rows that were on their way are in the queue that is read first
        senders_seen.add(receiver)
        mine = _mine(topology, edge, earlier, was, old, receiver)
        frame = frames.get(receiver) if first else None
        queue = _queue(edge, sender, receiver, old, mine, frame, first, through)
        if old and topology.plan.stages[edge.receiver].event_time is not None and not queue.taken.ended:
            queue = replace(queue, taken=_held(queue.taken, mine, now_ns))
        made.append(queue)
    return made


def _held(taken: InputRecord, mine: Sequence[_Old], now_ns: int) -> InputRecord:
    """Where rows are given their times behind the queue, each of them tells how far time has come there.

    What was in several queues, or is processed by other slots now, is in one: until all of that has passed, the time
    is that of the queue that was last.
    """
    watermark, idle = _time([queue.taken for queue in mine])
    return replace(taken, watermark=watermark, idle=idle, held_at=watermark, held_until_ns=now_ns)


def _mine(
    topology: Topology, edge: EdgePlan, earlier: EarlierRun, was: str, old: Sequence[_Old], receiver: int
) -> Sequence[_Old]:
    """What a receiving slot has taken over: its own queues, or of all where slots have changed."""
    before = earlier.layout.edges[was].receiver if was else ""
    if before == edge.receiver and earlier.slots(before) == topology.workers(edge.receiver):
        return [queue for queue in old if queue.receiver == receiver]
    return old


def _queue(
    edge: EdgePlan, sender: int, receiver: int, old: Sequence[_Old], mine: Sequence[_Old], frame: NewFrame | None,
    first: bool, through: bool,
) -> NewQueue:
    sequence = max((queue.given.sequence for queue in old), default=0)  # no number of a row comes twice
    told, idle = _time([queue.given for queue in old])
    known, known_idle = (told, idle) if frame is None else _time([queue.taken for queue in mine])
    ended = through and bool(mine) and all(queue.taken.ended for queue in mine)
    rows = sum(queue.taken.rows for queue in mine) if first and (mine is not old or receiver == 0) else 0
    held = contents(
        frame, sequence, edge.channel_bytes, told, idle, ends_at=END_OF_TIME if through and not ended else None
    )
    return NewQueue(
        channel_name(edge, sender, receiver), edge.channel_bytes,
        InputRecord(0, sequence, rows, 0, ended, END_OF_TIME if ended else known, known_idle),
        OutputRecord(len(held.data), sequence + held.frames, rows + held.rows, told, idle), held,
    )


def _time(records: Sequence[InputRecord | OutputRecord]) -> tuple[int, bool]:
    """How far event time has come by all of these, and whether all of them are idle."""
    origins = []
    for record in records:
        origin = Origin()
        origin.watermark, origin.idle = record.watermark, record.idle
        origins.append(origin)
    return together(origins) if origins else (NO_WATERMARK, False)
