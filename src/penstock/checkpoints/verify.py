"""Reads checkpoints whole, to see whether one could resume from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from penstock.checkpoints.history import Found, content, numbers_in
from penstock.checkpoints.manifest import Chunk, Manifest, length_of
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import CheckpointDamaged


class Verdict(msgspec.Struct, frozen=True):
    """What was found about a checkpoint."""

    number: int
    problems: tuple[str, ...]
    """Empty: it is whole."""
    read_bytes: int
    """Content that was read for it, and not for one before."""


def verify(store: CheckpointStore, checkpoints: Iterable[Found]) -> Iterator[Verdict]:
    """All content of each, what they share once. Raises `StoreUnavailable`, `NotPrivate`.

    A run that is up deletes old checkpoints meanwhile: those are left out.
    """
    seen: dict[Chunk, str] = {}
    for found in checkpoints:
        if found.manifest is None:
            verdict = Verdict(found.number, () if found.problem is None else (_told(found.problem),), 0)
        else:
            verdict = _verdict(store, found.manifest, seen)
        if not verdict.problems or found.number in numbers_in(store):
            yield verdict


def _verdict(store: CheckpointStore, manifest: Manifest, seen: dict[Chunk, str]) -> Verdict:
    new = [chunk for chunk in dict.fromkeys(manifest.cut.chunks()) if chunk not in seen]
    for chunk in new:
        seen[chunk] = _look(store, manifest, chunk)
    problems = [seen[chunk] for chunk in manifest.cut.chunks() if seen[chunk]]
    problems += [
        f"the content of {channel.name} has {length_of(channel.chunks)} instead of {channel.tail - channel.head} bytes"
        for channel in manifest.cut.channels if length_of(channel.chunks) != channel.tail - channel.head
    ]
    return Verdict(manifest.number, tuple(dict.fromkeys(problems)), length_of(new))


def _look(store: CheckpointStore, manifest: Manifest, chunk: Chunk) -> str:
    """What is wrong with a chunk; empty: nothing."""
    try:
        for _ in content(store, manifest, (chunk,)):
            pass
    except CheckpointDamaged as exc:
        return exc.what
    return ""


def _told(problem: Exception) -> str:
    return problem.what if isinstance(problem, CheckpointDamaged) else str(problem)
