"""Rows on their way between two stages, for other slots than those that they were sent to: whose key is whose now.

What was in the old queues of an edge becomes one frame for each new receiving slot, in the queue of its first sender,
which is read first: rows of a key that are sent from now on come behind. Nothing is said of what a stage does with
its rows; rows by key are decoded, all others are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from penstock.channel import frame as frames
from penstock.channel.codec import Codec, RowCodec, join_payloads
from penstock.channel.frame import HEADER_BYTES, Flag, Header, Kind
from penstock.channel.router import Router
from penstock.channel.side_file import ticket_of
from penstock.ctrl_c import is_ctrl_c
from penstock.plan.plan import EdgePlan, Route
from penstock.plan.topology import Topology
from penstock.slot.input.batches import batch_length, batch_slice

_SHARE: Final = 4
"""A frame that takes more than this part of its queue stands in a side file, so that the queue does not begin full."""


class RowsUnreadable(Exception):
    """Rows on their way cannot be decoded, or have no key, with the code as it is now."""


class StoredRows(msgspec.Struct, frozen=True):
    """The rows of a frame that nobody has read, or not all of them."""

    codec: int
    payload: bytes
    rows: int
    done: int
    """So many of them are done."""
    ingest_ns: int


class OldQueue(msgspec.Struct, frozen=True):
    """What was in one queue."""

    sender: int
    receiver: int
    stored: Sequence[StoredRows]

    @property
    def rows(self) -> int:
        return sum(each.rows - each.done for each in self.stored)


class NewFrame(msgspec.Struct, frozen=True):
    """What a new receiving slot finds."""

    codec: int
    payload: bytes
    rows: int
    ingest_ns: int


def stored_in(data: bytes, done: int, side_file: Callable[[int, bytes], bytes]) -> list[StoredRows]:
    """The rows in the frames of a queue. `done`: of the first frame; `side_file(sequence, ticket)` gives a payload."""
    found, offset = [], 0
    while offset < len(data):
        _, header = frames.unpack(data[offset : offset + HEADER_BYTES])
        payload = data[offset + HEADER_BYTES : offset + HEADER_BYTES + header.length]
        if header.kind == Kind.BATCH and header.rows > done:
            if header.flags & Flag.SIDE_FILE:
                payload = side_file(header.sequence, payload)
            found.append(StoredRows(header.codec, payload, header.rows, done, header.ingest_ns))
        offset, done = offset + frames.space(header.length), 0
    return found


def regrouped_rows(
    topology: Topology, edge: EdgePlan, old: Sequence[OldQueue], receivers_before: int
) -> dict[int, NewFrame]:
    """A frame for each new receiving slot that gets rows. Raises `RowsUnreadable`."""
    parts: dict[int, list[tuple[int, bytes]]] = {}
    rows: dict[int, int] = {}
    ingest: dict[int, int] = {}
    deal = _Deal(topology, edge, receivers_before)
    for queue in old:
        for stored in queue.stored:
            for receiver, codec, payload, count in deal.parts(queue.receiver, stored):
                parts.setdefault(receiver, []).append((codec, payload))
                rows[receiver] = rows.get(receiver, 0) + count
                ingest[receiver] = min(ingest.get(receiver, stored.ingest_ns), stored.ingest_ns)
    return {
        receiver: NewFrame(*(mine[0] if len(mine) == 1 else join_payloads(mine)), rows[receiver], ingest[receiver])
        for receiver, mine in parts.items()
    }


class _Deal:
    """Says who gets which rows of an edge."""

    def __init__(self, topology: Topology, edge: EdgePlan, receivers_before: int) -> None:
        self._edge = edge
        self._codec = RowCodec(edge.row_type)
        self._receivers = topology.workers(edge.receiver)
        self._kept = receivers_before == self._receivers
        self._turn = 0
        route = Route.HASH if edge.route is Route.HASH else Route.BALANCE
        self._router = Router(route, self._receivers, edge.key, topology.key_table(edge))

    def parts(self, was: int, stored: StoredRows) -> Iterator[tuple[int, int, bytes, int]]:
        """(receiver, codec, payload, rows) of what was on its way to an old receiving slot."""
        # Text for a sink has no key any more; whoever gets it writes it down.
        if self._edge.route is Route.HASH and stored.codec != Codec.WRITTEN:
            yield from self._by_key(stored)
            return
        receiver = self._receiver(was)
        if receiver is None:
            return
        if not stored.done:
            yield receiver, stored.codec, stored.payload, stored.rows
            return
        batch = self._left(stored)
        codec, payload = self._encoded(batch)
        yield receiver, codec, payload, batch_length(batch)

    def _receiver(self, was: int) -> int | None:
        match self._edge.route:
            case Route.BROADCAST:  # every slot has its own copy of every row: those of slots that are gone go with them
                return was if was < self._receivers else None
            case Route.BALANCE if not self._kept:
                self._turn += 1
                return (self._turn - 1) % self._receivers
        return was % self._receivers

    def _by_key(self, stored: StoredRows) -> Iterator[tuple[int, int, bytes, int]]:
        given, keyless = self._router.split(self._left(stored), lambda: (), 0)
        if keyless:
            raise RowsUnreadable(f"a row on its way in {self._edge.name} has no key: {keyless[0].error!r}")
        for receiver, batch in given:
            codec, payload = self._encoded(batch)
            yield receiver, codec, payload, batch_length(batch)

    def _left(self, stored: StoredRows) -> Any:
        """The rows that are not done."""
        try:
            decoded = self._codec.decode(stored.codec, stored.payload, stored.rows)
        except Exception as exc:  # code of the rows' classes
            raise RowsUnreadable(f"rows on their way in {self._edge.name} cannot be decoded: {exc!r}") from exc
        if decoded.failures:
            what, why = next(iter(decoded.failures.values()))
            raise RowsUnreadable(f"a row on its way in {self._edge.name} cannot be decoded: {what!r}: {why}")
        return batch_slice(decoded.batch, stored.done, batch_length(decoded.batch))

    def _encoded(self, batch: Any) -> tuple[int, bytes]:
        try:
            return self._codec.encode(batch)
        except BaseException as exc:  # pickling runs the user's code: whatever it raises
            if is_ctrl_c(exc):
                raise
            raise RowsUnreadable(f"rows on their way in {self._edge.name} cannot be encoded: {exc!r}") from exc


class Contents(msgspec.Struct, frozen=True):
    """What a new queue holds, from position 0 on."""

    data: bytes
    frames: int
    rows: int
    side: tuple[int, bytes] | None
    """The payload that stands in a side file, and the frame's number."""


def contents(
    frame: NewFrame | None, first: int, capacity: int, watermark: int, idle: bool, *, ends_at: int | None = None
) -> Contents:
    """As they stand in a queue of this capacity. `first`: the number of the first frame.

    `watermark`, `idle`: how far event time has come behind the rows. `ends_at`: the sender has ended, and it came so
    far.
    """
    data, count, side = b"", 0, None
    if frame is not None:
        flags, payload = int(Flag.TURN_END) | (int(Flag.IDLE) if idle else 0), frame.payload
        if frames.space(len(payload)) > capacity // _SHARE:
            side = (first, payload)
            flags, payload = flags | int(Flag.SIDE_FILE), ticket_of(payload)
        header = Header(Kind.BATCH, frame.rows, first, int(frame.codec), flags, 0, frame.ingest_ns, watermark)
        data, count = _packed(header, payload, 0), 1
    if ends_at is not None:
        data += _packed(Header(Kind.END, 0, first + count, watermark=ends_at), b"", len(data))
        count += 1
    return Contents(data, count, 0 if frame is None else frame.rows, side)


def _packed(header: Header, payload: bytes, position: int) -> bytes:
    packed = frames.pack(header, payload, position) + payload
    return packed.ljust(frames.space(len(payload)), b"\0")

