"""The checkpoints of a store as anybody may read them: which there are, which count, and what is in them.

A store's folder `log` is numbered. Each entry is a claim, a manifest or the mark of an end, created once. What a
process adds whose claim is no longer the newest does not count (`claimed`), and neither does what is damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from penstock.channel.checksum import crc32
from penstock.checkpoints.manifest import Chunk, Claim, Entry, Finished, Manifest, decode_entry
from penstock.checkpoints.store import CheckpointStore, FileLost
from penstock.errors import CheckpointDamaged, CheckpointForeign, NoSuchCheckpoint

log = logging.getLogger("penstock.checkpoints")

LOG: Final = "log"
FILES: Final = "files"
_DIGITS: Final = 12


def entry_name(number: int) -> str:
    """The file of an entry; in the order of numbers, too."""
    return f"{LOG}/{number:0{_DIGITS}d}"


class Found(msgspec.Struct, frozen=True):
    """A checkpoint in the list of those that count, or what should be one."""

    number: int
    manifest: Manifest | None = None
    problem: CheckpointDamaged | CheckpointForeign | None = None
    """Why there is no manifest to read."""


class Reading(msgspec.Struct, frozen=True):
    """A store's log at one moment."""

    numbers: tuple[int, ...]
    """All entries, oldest first."""
    claim: Claim | None
    """The newest; None: there is none, or it cannot be read."""
    found: tuple[Found, ...]
    """The checkpoints that count, oldest first; whatever cannot be read and may be one is among them."""
    over: int
    """Those up to this number are of runs that are over."""

    @property
    def manifests(self) -> list[Manifest]:
        """Those that can be read, oldest first."""
        return [found.manifest for found in self.found if found.manifest is not None]

    @property
    def problems(self) -> list[CheckpointDamaged | CheckpointForeign]:
        """Of those that cannot."""
        return [found.problem for found in self.found if found.problem is not None]


def numbers_in(store: CheckpointStore) -> list[int]:
    """Of all entries of the log, in order. Names that are no numbers are somebody else's, and passed over."""
    return sorted(int(name) for name in store.sizes(LOG) if name.isdigit())


def read_entry(store: CheckpointStore, number: int) -> Entry:
    """Raises `FileLost`, `CheckpointDamaged`, `CheckpointForeign`."""
    return decode_entry(store.read(entry_name(number)), number, store.where)


def read_log(store: CheckpointStore) -> Reading:
    """All of it. Raises as stores do; what is damaged is in the reading."""
    numbers = numbers_in(store)
    read: dict[int, Entry | CheckpointDamaged | CheckpointForeign] = {}
    claim = _newest_claim(store, numbers, read)
    found, over = list[Found](), 0 if claim is None else claim.over
    for number in numbers:
        if claim is not None and number <= claim.number and number not in claim.kept:
            continue
        entry = _read(store, number, read)
        if isinstance(entry, Manifest) and _counts(entry, claim, read):
            found.append(Found(number, entry))
        elif isinstance(entry, Finished) and claim is not None and entry.lineage == claim.number:
            over = number
        elif isinstance(entry, CheckpointDamaged | CheckpointForeign):
            found.append(Found(number, problem=entry))
    return Reading(tuple(numbers), claim, tuple(found), over)


_Read = dict[int, Entry | CheckpointDamaged | CheckpointForeign]


def _newest_claim(store: CheckpointStore, numbers: Iterable[int], read: _Read) -> Claim | None:
    """The newest entry that can be read is a claim, or names one."""
    for number in sorted(numbers, reverse=True):
        entry = _read(store, number, read)
        if isinstance(entry, Manifest | Finished):
            entry = _read(store, entry.lineage, read)
            return entry if isinstance(entry, Claim) else None
        if isinstance(entry, Claim):
            return entry
    return None


def _counts(entry: Manifest, claim: Claim | None, read: _Read) -> bool:
    if claim is not None:
        return entry.lineage == claim.number or (entry.number < claim.number and claim.keeps(entry))
    # It cannot be read. What was made under it names it; what else would count is not known.
    return entry.lineage == max(found.lineage for found in read.values() if isinstance(found, Manifest))


def _read(store: CheckpointStore, number: int, read: _Read) -> Entry | CheckpointDamaged | CheckpointForeign | None:
    """Each entry once. None: it was removed in between."""
    if number not in read:
        try:
            read[number] = read_entry(store, number)
        except FileLost as exc:
            if exc.missing:
                return None
            read[number] = CheckpointDamaged(store.where, str(number), f"its manifest {exc.why}")
        except (CheckpointDamaged, CheckpointForeign) as exc:
            read[number] = exc
    return read[number]


def newest_first(store: CheckpointStore) -> Iterator[Manifest]:
    """The checkpoints to resume from, one after the other until one is whole; none: there is none of a run in progress.

    Raises the first problem if there are checkpoints and none can be read: a fresh start would be a wrong result.
    """
    reading = read_log(store)
    given, problem = False, None
    for found in reversed(reading.found):
        if found.number <= reading.over:
            break
        problem = problem or found.problem
        if found.manifest is not None:
            given = True
            yield found.manifest
        else:
            log.warning("%s; the one before is used", found.problem)
    if not given and problem is not None:
        raise problem


def manifest_of(store: CheckpointStore, checkpoint: str) -> Manifest:
    """The checkpoint of an id, as users write it. Raises `NoSuchCheckpoint`, and as `decode_entry` does."""
    for found in read_log(store).found if checkpoint.isdecimal() else ():
        if found.number == int(checkpoint):
            if found.problem is not None:
                raise found.problem
            if found.manifest is not None:
                return found.manifest
    raise NoSuchCheckpoint(store.where, checkpoint)


def content(store: CheckpointStore, manifest: Manifest, chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """The bytes of each chunk of a checkpoint, looked at. Raises `CheckpointDamaged`."""
    for chunk in chunks:
        try:
            data = store.read(f"{FILES}/{chunk.file}", chunk.offset, chunk.length)
        except FileLost as exc:
            raise CheckpointDamaged(store.where, manifest.id, f"its file {chunk.file} {exc.why}") from exc
        if len(data) != chunk.length:
            what = f"its file {chunk.file} is cut: {len(data)} of {chunk.length} bytes at {chunk.offset}"
            raise CheckpointDamaged(store.where, manifest.id, what)
        if crc32(data) != chunk.check:
            what = f"its file {chunk.file} does not hold what was written at {chunk.offset}"
            raise CheckpointDamaged(store.where, manifest.id, what)
        yield data
