"""The frames of the changelog: a catalogue begins each segment, and changes name shelves by its numbers."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from penstock.slot.state.change import Columns
from penstock.slot.state.shelf_name import ShelfName

FORMAT: Final = 1
"""Of what stands in the log. Another one is refused, never guessed at."""


class Catalogue(msgspec.Struct, frozen=True, array_like=True, tag="C"):
    """The shelves; their numbers are their places in the list."""

    format: int
    shelves: list[ShelfName]


class Band(msgspec.Struct, frozen=True, array_like=True, tag="B"):
    """What a commit wrote in one band of key groups."""

    band: int
    changes: msgspec.Raw
    """Decoded where a group of the band is asked for."""


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag="S"):
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
_columns = msgspec.msgpack.Decoder(list[Columns])


def band_of_changes(band: int, changes: list[Columns]) -> Band:
    """A frame of changes."""
    return Band(band, msgspec.Raw(encode_body(changes)))


def snapshot_of(group: int, changes: list[Columns]) -> Snapshot:
    """A frame with all of a group."""
    return Snapshot(group, msgspec.Raw(encode_body(changes)))


def changes_of(body: Band | Snapshot) -> list[Columns]:
    """The changes in a frame. Raises `msgspec.MsgspecError`."""
    return _columns.decode(body.changes)
