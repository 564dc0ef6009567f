"""What a successor must know of a slot, as its journal and its transactional sink keep it.

Queues, edges and logs are keyed by name, not by place, so that they can be added and removed. What is kept on disk
begins with a version: a record of another version is refused, never guessed at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from penstock.event_time import END_OF_TIME, NO_WATERMARK
from penstock.plan.paths import channel_name

if TYPE_CHECKING:
    from penstock.plan.topology import Slot, Topology

STATE: Final = "state"
"""The name of the changelog of keyed stages among the logs."""
RECORD_VERSION: Final = 4


class InputRecord(msgspec.Struct, array_like=True):
    """Where a slot stands in one input queue."""

    head: int = 0
    sequence: int = 0
    rows: int = 0
    """Rows taken out of the queue, ever."""
    rows_done: int = 0
    """Rows done in the frame that stands at `head`."""
    ended: bool = False
    watermark: int = NO_WATERMARK
    """How far event time has come in it; `END_OF_TIME`: it has ended, and all was read that there is."""
    idle: bool = False
    held_at: int = END_OF_TIME
    held_until_ns: int = 0
    """As `Origin.hold` says, after a resume with other slots."""


class OutputRecord(msgspec.Struct, array_like=True):
    """Where a slot stands in one output queue."""

    tail: int = 0
    sequence: int = 0
    rows: int = 0
    watermark: int = NO_WATERMARK
    """What the receiver was told of event time."""
    idle: bool = False


class Counts(msgspec.Struct, array_like=True):
    """Committed counts of one stage in one slot; they are what its page shows."""

    rows_in: int = 0
    rows_out: int = 0
    retries: int = 0
    dead_letters: int = 0
    skipped: int = 0
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    failed_before_success: int = 0
    succeeded: int = 0
    late: int = 0
    """Rows whose window was over when they came."""


class SplitRecord(msgspec.Struct, array_like=True):
    """Where a source stands in one split."""

    position: Any = None
    done: bool = False
    rows_done: int = 0
    """Rows done behind `position`."""
    rows: int = 0
    """Rows done, ever."""
    discovered: Any = None
    """The split itself, where it was found while running; the others are frozen in the run directory."""
    watermark: int = NO_WATERMARK
    """How far event time has come in it, where the stage gives rows their times."""


class SpillRecord(msgspec.Struct, array_like=True):
    """Rows of a single row that was given too much of, in a file; they are sent on piece by piece (`spool`)."""

    name: str
    leaf: int
    """Whose rows they are, among what the stage gives out."""
    offset: int
    """What stands before it has been sent."""


class EpochRecord(msgspec.Struct, array_like=True):
    """Rows that wait for a checkpoint before they become visible in a sink (`slot/output/epoch_spool.py`).

    Places in the spool count the bytes that were ever spooled.
    """

    first: int = 0
    """The number of the first segment that is there."""
    begin: int = 0
    """The place of its first byte."""
    lengths: list[int] = msgspec.field(default_factory=list)
    """Of each segment from the first on."""
    applied: int = 0
    """What stands before it is visible."""
    refused: list[int] = msgspec.field(default_factory=list)
    """Rows behind `applied`, counted from there, that the target refused: they have letters."""
    prepared: list[tuple[str, int]] = msgspec.field(default_factory=list)
    """What a target with two phases has prepared: (token, the place behind its last row)."""

    @property
    def length(self) -> int:
        """The place behind all rows."""
        return self.begin + sum(self.lengths)


class StageRecord(msgspec.Struct, array_like=True):
    """One stage of the slot."""

    inputs: dict[str, InputRecord] = msgspec.field(default_factory=dict)
    """By the queue's name."""
    outputs: dict[str, OutputRecord] = msgspec.field(default_factory=dict)
    """By the queue's name."""
    counts: Counts = msgspec.field(default_factory=Counts)
    splits: dict[str, SplitRecord] = msgspec.field(default_factory=dict)
    sink_position: Any = None
    turns_in: dict[str, int] = msgspec.field(default_factory=dict)
    """By the input edge's name: the next turn to take behind an ordered stage; else unused."""
    turn_out: int = 0
    """Number of the next turn to give out, in front of an ordered stage."""
    finished: bool = False
    spills: list[SpillRecord] = msgspec.field(default_factory=list)
    unsent: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """By the stage that they were for: how many rows were set aside here for want of a key or a text, and skipped."""
    watermark: int = NO_WATERMARK
    """How far event time has come in the stage: what its operators know, and whatever comes earlier is late."""
    epoch: EpochRecord | None = None
    """Where its sink waits for checkpoints."""


class Record(msgspec.Struct, array_like=True):
    """All that a successor must agree on."""

    number: int = 0
    logs: dict[str, list[int]] = msgspec.field(default_factory=dict)
    """What each log of the slot (`committed_log.Participant`) must know to resume, by its name."""
    run_id: str = ""
    """A transactional sink may hold the record of an earlier run."""
    stages: list[StageRecord] = msgspec.field(default_factory=list)
    lineage: int = 0
    """Another number after each restore from a checkpoint: what a transactional sink has of the lives between the
    checkpoint and the restore is no newer record of this slot."""

    @property
    def finished(self) -> bool:
        """True: every stage of the slot is through with its input."""
        return all(stage.finished for stage in self.stages)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


_VERSION_BYTE: Final = bytes([RECORD_VERSION])  # records of before there were versions begin with 0x97


def encode_record(record: Record) -> bytes:
    """As it stands in a journal, or in a transactional sink."""
    return _VERSION_BYTE + _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """What `encode_record` gave. Raises `msgspec.MsgspecError` for what is none, or of another version."""
    if data[:1] != _VERSION_BYTE:
        raise msgspec.DecodeError("it is a record of another version of penstock")
    return _decoder.decode(memoryview(data)[1:])


def is_of_this_version(data: bytes) -> bool:
    """True: `decode_record` can be expected to read it."""
    return data[:1] == _VERSION_BYTE


def first_record(topology: Topology, slot: Slot) -> Record:
    """What the journal of a slot says before its first life."""
    stages, plan = [], topology.plan
    for stage in slot.stages:
        incoming = plan.inputs(stage.name)
        inputs = [channel_name(edge, n, slot.number) for edge in incoming for n in topology.senders(edge, slot.number)]
        outputs = [
            channel_name(edge, slot.number, n)
            for edge in plan.outputs(stage) for n in topology.receivers(edge, slot.number)
        ]
        stages.append(StageRecord(
            inputs={name: InputRecord() for name in inputs}, outputs={name: OutputRecord() for name in outputs},
            turns_in={edge.name: topology.first_turn(edge, slot.number) for edge in incoming},
        ))
    return Record(stages=stages)
