"""What is written about checkpoints: manifests, and claims and marks of the end, between which they stand in a log.

A format with a version of its own, and a checksum. All content stands in files of the store, and is named by chunks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from penstock.channel.checksum import crc32
from penstock.errors import CheckpointDamaged, CheckpointForeign

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"PSCP"
_HEAD: Final = struct.Struct("<4sIQI")
"""Magic, version, length of the body, its checksum. These stay as they are in every version."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Bytes that stand in one piece in a file of the store."""

    file: str
    """Its name in the folder `files`."""
    offset: int
    length: int
    check: int
    """CRC-32 of the bytes."""


Chunks: TypeAlias = tuple[Chunk, ...]


def length_of(chunks: Sequence[Chunk]) -> int:
    """Bytes of all chunks together."""
    return sum(chunk.length for chunk in chunks)


class SlotCut(msgspec.Struct, frozen=True):
    """A slot in the cut; the calling process that reads results is one, too."""

    group: str
    number: int
    record: bytes
    """As its journal holds it (`slot/records/record.py`)."""


class ChannelCut(msgspec.Struct, frozen=True):
    """What was between two slots: the bytes from the receiver's recorded head to the sender's recorded tail."""

    name: str
    """`channel_name` of the plan."""
    head: int
    tail: int
    chunks: Chunks = ()


class LogCut(msgspec.Struct, frozen=True):
    """A log of a slot, as long as the slot's record says. Its chunks are shared with other checkpoints."""

    path: str
    """In the run directory."""
    chunks: Chunks = ()
    generation: int = 0
    """Chunks of an earlier checkpoint are this log's only where path and generation are the same."""

    @property
    def length(self) -> int:
        return length_of(self.chunks)


class FileCut(msgspec.Struct, frozen=True):
    """A whole file of the run directory, such as the side file of a frame."""

    path: str
    chunks: Chunks = ()


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint holds of a run."""

    run_id: str
    layout: dict[str, str]
    """The plan's fingerprint (`plan/fingerprint.py`)."""
    membership: bytes = b""
    """As the run's file of that name holds it (`plan/membership.py`)."""
    splits: bytes = b""
    """As the run's file of that name holds it."""
    slots: tuple[SlotCut, ...] = ()
    channels: tuple[ChannelCut, ...] = ()
    logs: tuple[LogCut, ...] = ()
    files: tuple[FileCut, ...] = ()

    def chunks(self) -> list[Chunk]:
        """All content."""
        holders: tuple[ChannelCut | LogCut | FileCut, ...] = (*self.channels, *self.logs, *self.files)
        return [chunk for holder in holders for chunk in holder.chunks]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, tag="checkpoint"):
    """A checkpoint. It exists once this stands in the log, and holds nothing that is not durable by then."""

    number: int
    """Its place in the log, and what users name it by. Grows with time."""
    lineage: int
    """The number of the claim under which it was made: see `Claim`."""
    attempt: str
    """Tells one attempt to make this checkpoint from another."""
    pipeline: str
    program: str
    """The version of penstock that made it."""
    taken_s: float
    """Wall clock at which the records of the cut had been read."""
    savepoint: bool = False
    """Kept until it is deleted."""
    cut: Cut

    @property
    def id(self) -> str:
        """As users write it."""
        return str(self.number)

    @property
    def files(self) -> frozenset[str]:
        """The files of the store in which its content stands."""
        return frozenset(chunk.file for chunk in self.cut.chunks())

    @property
    def content_bytes(self) -> int:
        return length_of(self.cut.chunks())

    @property
    def own_bytes(self) -> int:
        """Content that was written for this checkpoint; the rest is shared with those before it."""
        mine = file_prefix(self.lineage, self.number)
        return sum(chunk.length for chunk in self.cut.chunks() if chunk.file.startswith(mine))


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who claimed a store, for those who are refused."""

    host: str
    pid: int
    run_id: str
    run_dir: str = ""

    def __str__(self) -> str:
        place = f", {self.run_dir}" if self.run_dir else ""
        return f"process {self.pid} on {self.host}{place}"


class Claim(msgspec.Struct, frozen=True, kw_only=True, tag="claim"):
    """Says that from here on in the log only one process adds checkpoints: whoever claimed before is refused.

    What is made under it is a lineage, named by the claim's number in the log.
    """

    number: int
    attempt: str
    holder: Holder
    claimed_s: float
    """Wall clock."""
    kept: dict[int, str]
    """The checkpoints below that count: number and attempt; no attempt: what stood there could not be read."""
    over: int = 0
    """Those up to this number are of runs that are over: see `Finished`."""

    def keeps(self, entry: Manifest) -> bool:
        """True: this is a checkpoint below that counts, and not what a zombie put in its place after its deletion."""
        return self.kept.get(entry.number) in ("", entry.attempt)


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """Says that the run of the checkpoints below is over, and that whoever waited for it was told.

    They stay, and are resumed from only by their ids.
    """

    number: int
    lineage: int
    """As that of the last of them."""
    attempt: str
    finished_s: float
    """Wall clock."""


Entry: TypeAlias = Manifest | Claim | Finished
"""What stands in a store's log."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Manifest | Claim | Finished)


def file_prefix(lineage: int, number: int) -> str:
    """How the names of the files begin that are written for one checkpoint."""
    return f"{lineage}.{number}."


def encode_entry(entry: Entry) -> bytes:
    """As it stands in the log."""
    body = _encoder.encode(entry)
    return _HEAD.pack(_MAGIC, FORMAT_VERSION, len(body), crc32(body)) + body


def decode_entry(data: bytes, number: int, where: str) -> Entry:
    """What `encode_entry` gave for this place in the log. Raises `CheckpointDamaged`, `CheckpointForeign`."""
    if len(data) < _HEAD.size:
        raise CheckpointDamaged(where, str(number), "its manifest is cut")
    magic, version, length, check = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC or len(body) != length or crc32(body) != check:
        raise CheckpointDamaged(where, str(number), "its manifest does not hold what was written")
    if version != FORMAT_VERSION:
        raise CheckpointForeign(where, str(number), version, FORMAT_VERSION)
    try:
        entry: Entry = _decoder.decode(body)
    except msgspec.MsgspecError as exc:
        raise CheckpointDamaged(where, str(number), f"its manifest cannot be read ({exc})") from exc
    if entry.number != number:
        raise CheckpointDamaged(where, str(number), f"its manifest is that of {entry.number}")
    return entry
