"""What a successor must know of a slot, as its journal and its transactional sink keep it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.plan.topology import Slot, Topology


class InputRecord(msgspec.Struct, array_like=True):
    """Where a slot stands in one input queue."""

    head: int = 0
    sequence: int = 0
    rows: int = 0
    """Rows taken out of the queue, ever."""
    rows_done: int = 0
    """Rows done in the frame that stands at `head`."""
    ended: bool = False


class OutputRecord(msgspec.Struct, array_like=True):
    """Where a slot stands in one output queue."""

    tail: int = 0
    sequence: int = 0
    rows: int = 0


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


class SpillRecord(msgspec.Struct, array_like=True):
    """Rows of a single row that was given too much of, in a file; they are sent on piece by piece (`spool`)."""

    name: str
    leaf: int
    """Whose rows they are, among what the stage gives out."""
    offset: int
    """What stands before it has been sent."""


class PartRecord(msgspec.Struct, array_like=True):
    """One stage of the slot."""

    inputs: list[InputRecord] = msgspec.field(default_factory=list)
    outputs: list[OutputRecord] = msgspec.field(default_factory=list)
    counts: Counts = msgspec.field(default_factory=Counts)
    splits: dict[str, SplitRecord] = msgspec.field(default_factory=dict)
    sink_position: Any = None
    turns_in: list[int] = msgspec.field(default_factory=list)
    """Per input edge behind an ordered stage: the next turn to take; else unused."""
    turn_out: int = 0
    """Number of the next turn to give out, in front of an ordered stage."""
    finished: bool = False
    spills: list[SpillRecord] = msgspec.field(default_factory=list)


class Record(msgspec.Struct, array_like=True):
    """All that a successor must agree on."""

    number: int = 0
    epoch: int = 0
    dead_letter_bytes: int = 0
    retry_bytes: int = 0
    retry_generation: int = 0
    run_id: str = ""
    """A transactional sink may hold the record of an earlier run."""
    parts: list[PartRecord] = msgspec.field(default_factory=list)

    @property
    def finished(self) -> bool:
        """True: every stage of the slot is through with its input."""
        return all(part.finished for part in self.parts)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    return _decoder.decode(data)


def first_record(topology: Topology, slot: Slot) -> Record:
    """What the journal of a slot says before its first life."""
    parts = []
    for stage in slot.stages:
        inputs = topology.plan.inputs(stage.name)
        parts.append(PartRecord(
            inputs=[InputRecord() for edge in inputs for _ in topology.senders(edge, slot.number)],
            outputs=[
                OutputRecord() for edge in topology.plan.outputs(stage) for _ in topology.receivers(edge, slot.number)
            ],
            turns_in=[topology.first_turn(edge, slot.number) for edge in inputs],
        ))
    return Record(parts=parts)
