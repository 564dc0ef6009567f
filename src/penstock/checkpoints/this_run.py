"""The run whose checkpoints are taken, as the supervisor tells of it, and what its files say besides."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from penstock.checkpoints.cut import RunFiles
from penstock.checkpoints.run_shape import shape_of
from penstock.checkpoints.store_cut import RunFacts
from penstock.errors import NotPrivate, QueueDamaged
from penstock.metrics import layout
from penstock.plan.membership import MEMBERSHIP_IS, decode_membership
from penstock.plan.paths import RunPaths
from penstock.private_files import read_own
from penstock.run_files import read_checked, refused


class ThisRun(msgspec.Struct, frozen=True):
    """Told once; the rest is read when it is needed."""

    run_dir: str
    pipeline: str
    run_id: str
    dead_letters: str
    layout: dict[str, str]
    """The plan's fingerprint."""
    outputs: tuple[str, ...]
    """Files and folders that sinks write to."""

    def files(self) -> RunFiles:
        """Raises `QueueDamaged`, `FileUnusable`."""
        paths = RunPaths(Path(self.run_dir))
        try:
            shape = shape_of(layout.decode(read_own(paths.layout)))
        except (OSError, NotPrivate) as exc:
            raise refused(paths.layout, "the layout", exc) from exc
        except msgspec.MsgspecError as exc:
            raise QueueDamaged(paths.layout, f"this is not a layout: {exc}") from exc
        membership = decode_membership(read_checked(paths.membership, MEMBERSHIP_IS), paths.membership)
        return RunFiles(paths, shape, Path(self.dead_letters), membership.letters)

    def facts(self) -> RunFacts:
        """Raises `QueueDamaged`, `FileUnusable`."""
        paths = RunPaths(Path(self.run_dir))
        return RunFacts(
            self.pipeline, self.run_id, self.layout, read_checked(paths.membership, MEMBERSHIP_IS),
            read_checked(paths.splits, "the list of splits"),
        )

    def sync_outputs(self, changed_since_s: float) -> None:
        """Have on the disk what sinks wrote: records count it, and would speak of what a power failure took.

        Files that were changed last before `changed_since_s` (wall clock) were synced before. Raises `OSError`.
        """
        for place in self.outputs:
            for path in _files_in(Path(place)):
                # A sink may rename or remove its files meanwhile; what it wrote is synced under its new name then.
                with suppress(FileNotFoundError):
                    _sync(path, changed_since_s)


def _files_in(place: Path) -> Iterable[Path]:
    yield place
    yield place.parent
    for folder, _, files in os.walk(place):
        yield Path(folder)
        for name in files:
            yield Path(folder, name)


def _sync(path: Path, changed_since_s: float) -> None:
    found = os.lstat(path)
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or found.st_mtime < changed_since_s:
        return
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
