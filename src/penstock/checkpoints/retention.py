"""Which checkpoints are deleted, and which files with them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.checkpoints.manifest import Manifest


class Doomed(msgspec.Struct, frozen=True):
    """What to delete: the checkpoints first, then the files, so that no checkpoint lacks a part at any time."""

    numbers: tuple[int, ...]
    files: tuple[str, ...]


def beyond(manifests: Sequence[Manifest], keep: int) -> Doomed:
    """All but the newest `keep` (at least one) and the savepoints. `manifests`: all that count."""
    passing = sorted(manifest.number for manifest in manifests if not manifest.savepoint)
    return without(manifests, passing[: -max(keep, 1)])


def without(manifests: Sequence[Manifest], numbers: Sequence[int], *, newest_too: bool = False) -> Doomed:
    """These, and the files that no other one needs. `manifests`: all that count.

    The newest of all stays unless `newest_too`: the next one may share its files, and the log's numbers would go back
    where no claim is behind it (`claimed`).
    """
    newest = 0 if newest_too else max((manifest.number for manifest in manifests), default=0)
    gone = [manifest for manifest in manifests if manifest.number in numbers and manifest.number != newest]
    stay = [manifest for manifest in manifests if manifest not in gone]
    needed = {file for manifest in stay for file in manifest.files}
    files = {file for manifest in gone for file in manifest.files} - needed
    return Doomed(tuple(sorted(manifest.number for manifest in gone)), tuple(sorted(files)))
