"""The frames of the changelog: a catalogue begins each segment, and changes name shelves by its numbers."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from penstock.slot.state.change import Columns
from penstock.slot.state.shelf_name import ShelfName

FORMAT: Final = 1
"""Of what stands in the log. Another one is refused, never guessed at."""


BAND: Final = "B"
SNAPSHOT: Final = "S"


class Catalogue(msgspec.Struct, frozen=True, array_like=True, tag="C"):
    """The shelves; their numbers are their places in the list."""

    format: int
    shelves: list[ShelfName]


HEAD_BYTES: Final = 6
"""Of a body: enough for `kind_of`."""
_LONGER: Final = {0xCC: 1, 0xCD: 2}
"""How many bytes msgpack has behind the first one, for numbers from 128 on."""


class Band(msgspec.Struct, frozen=True, array_like=True, tag=BAND):
    """What a commit wrote in one band of key groups."""

    band: int
    changes: msgspec.Raw
    """Decoded where a group of the band is asked for."""


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag=SNAPSHOT):
    """All that is kept of a key group: what stands before it in the log is not needed any more."""

    group: int
    changes: msgspec.Raw


class Part(msgspec.Struct, frozen=True, array_like=True, tag="P"):
    """Of the frames behind this one, as far as the next of its kind, only what is about these key groups counts.

    They were copied from the log of a slot that owned more groups than these (`regroup`).
    """

    groups: bytes
    """Empty: all count."""


Body: TypeAlias = Catalogue | Band | Snapshot | Part

encode_body = msgspec.msgpack.Encoder().encode
decode_body = msgspec.msgpack.Decoder(Body).decode
_EMPTY: Final = msgspec.Raw(b"\xc0")
_columns = msgspec.msgpack.Decoder(list[Columns])


def band_of_changes(band: int, changes: list[Columns]) -> bytes:
    """A frame of changes, encoded."""
    return encode_body(Band(band, _EMPTY))[: -len(_EMPTY)] + encode_body(changes)


def snapshot_of(group: int, changes: list[Columns]) -> bytes:
    """A frame with all of a group, encoded."""
    return encode_body(Snapshot(group, _EMPTY))[: -len(_EMPTY)] + encode_body(changes)


def kind_of(head: bytes) -> tuple[str, int]:
    """(tag, band or group) of a frame by its first bytes; of those that have neither, any number."""
    number = head[3]
    if number < 0x80:
        return chr(head[2]), number
    if number in _LONGER:
        return chr(head[2]), int.from_bytes(head[4 : 4 + _LONGER[number]], "big")
    return chr(head[2]), number - 256


def changes_of(body: Band | Snapshot) -> list[Columns]:
    """The changes in a frame. Raises `msgspec.MsgspecError`."""
    return _columns.decode(body.changes)
