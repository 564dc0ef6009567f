"""What is in a queue: a header and a payload, tied to the place where they stand by a checksum.

`ring` copies frames in and out; `codec` makes payloads. Pure.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import msgspec

from penstock.channel.checksum import crc32
from penstock.event_time import NO_WATERMARK


class Kind(IntEnum):
    """What a frame is. A reader names any other number as damage: a frame that it passed over would be lost."""

    BATCH = 1
    END = 4
    """Nothing comes behind it."""


class Flag(IntEnum):
    """Bits of a header's flags."""

    TURN_END = 1
    """The last frame of its turn: a merge by turn continues with the next turn."""
    SIDE_FILE = 2
    """The payload was too large for the queue; it is in a file beside it and is its name here."""
    IDLE = 4
    """Where event time is used: the sender waits for nothing that could have a time; its watermark holds up nobody."""


_HEADER = struct.Struct("<IIBBHIQQQq")
_BODY = struct.Struct("<IBBHIQQQq")
_POSITION = struct.Struct("<Q")
HEADER_BYTES: Final = _HEADER.size  # 48: a multiple of 8, so that frames stay aligned


class Header(msgspec.Struct, frozen=True, gc=False):
    """All that is known of a frame without decoding its payload."""

    kind: int
    rows: int
    sequence: int
    """Number of the frame in its channel, from 0, without a hole."""
    codec: int = 0
    flags: int = 0
    turn: int = 0
    """Number of the turn it belongs to, behind an ordered stage."""
    ingest_ns: int = 0
    """Wall clock at which the oldest row entered the pipeline."""
    watermark: int = NO_WATERMARK
    """No row behind this frame has an earlier event time, but for late ones. Of an END: `END_OF_TIME` where all was
    read that there is, and not where the sender was stopped before."""
    length: int = 0
    """Bytes of payload."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A header with its payload, copied out of the queue: nothing points into the ring."""

    header: Header
    payload: bytes
    end: int
    """Ring position behind the frame: the head, once it is done."""


def space(payload_length: int) -> int:
    """Bytes that a frame takes in a ring."""
    return (HEADER_BYTES + payload_length + 7) & ~7


def pack(header: Header, payload: bytes, position: int) -> bytes:
    """The header's bytes for a frame that will stand at an absolute ring position."""
    body = _BODY.pack(
        len(payload), header.kind, header.codec, header.flags, header.rows, header.sequence, header.turn,
        header.ingest_ns, header.watermark,
    )
    # Frames of an earlier lap are whole and valid: only the absolute position tells them from this one (trap 12). The
    # payload counts as well: a flipped bit would decode to another row without an error (trap 11).
    check = crc32(payload, crc32(body, crc32(_POSITION.pack(position))))
    return check.to_bytes(4, "little") + body


def unpack(head: bytes) -> tuple[int, Header]:
    """(checksum, header) of a header's bytes, nothing verified yet."""
    check, length, kind, codec, flags, rows, sequence, turn, ingest_ns, watermark = _HEADER.unpack(head)
    return check, Header(kind, rows, sequence, codec, flags, turn, ingest_ns, watermark, length)


def intact(head: bytes, payload: bytes, position: int) -> bool:
    """True when header and payload are what was packed for this position."""
    check = crc32(payload, crc32(memoryview(head)[4:], crc32(_POSITION.pack(position))))
    return check == int.from_bytes(head[:4], "little")
