"""What a run leaves that failed or was killed: shrunk to its backlog, and moved from shared memory to disk.

`settle` is for what nobody is at: its lock is ours. `fetch` is for the run that resumes from it. Everything is copied
before anything is removed, the manifest last, so that whoever dies meanwhile leaves one whole directory or two of one
run; where there are two, the preferred place counts and the other is discarded (`engine/deploy.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from penstock.channel import backlog
from penstock.plan.paths import RunPaths
from penstock.private_files import make_private, remove_directory
from penstock.supervisor import claims
from penstock.supervisor.cleanup import remove_run_dir


def settle(root: Path, target: Path | None) -> Path:
    """Shrink what was left in `root`, and move it to `target` (None: it stays); where it is then.

    Raises `OSError` where there is no room, `NotPrivate` where others can write; then it is where it was.
    """
    if target is None or target.exists():
        _shrink(root)
        return root
    # Under a name that no run has, until it is whole. Killed before the rename: `root` is untouched, and whoever comes
    # here next removes the half copy. Killed after it: there are two, and `discard_doubles` removes one.
    making = target.with_name(f".{target.name}.removing")
    make_private(target.parent, tighten=True)
    remove_directory(making)
    try:
        make_private(making)
        _copy_all(root, making, backlog.copy_sparse)
        _copy_last(root, making)
        _note_settled(making)
        making.rename(target)
    except OSError:
        remove_directory(making)
        raise
    claims.move(root, target)
    remove_run_dir(root)
    return target


def _note_settled(root: Path) -> None:
    """Note, once all else has reached the disk, that it outlives a crash of the machine."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), "it cannot be written to the disk", str(root))
        RunPaths(root).settled.touch(0o600)
    finally:
        os.close(fd)


def _shrink(root: Path) -> None:
    for queue in _queues(root):
        shrunk = queue.with_name(queue.name + ".new")
        shrunk.unlink(missing_ok=True)
        try:
            backlog.copy_sparse(queue, shrunk)
            shrunk.rename(queue)  # whole before it has the queue's name
        except OSError:
            shrunk.unlink(missing_ok=True)
            raise
    _note_settled(root)


def fetch(left: Path, root: Path) -> None:
    """Copy what was left into the empty directory `root`, its queues reserved. `OSError` where there is no room."""

    def copy_reserved(source: Path, target: Path) -> None:
        backlog.copy_sparse(source, target)
        backlog.reserve(target)

    _copy_all(left, root, copy_reserved)  # but for the manifest, which the caller writes when all is there


def reserve(root: Path) -> None:
    """Reserve the queues of a run that resumes where it was left. Raises `OSError` where there is no room."""
    for queue in _queues(root):
        backlog.reserve(queue)


def _queues(root: Path) -> list[Path]:
    """The rings: side files have the payload of a frame, and are small or needed."""
    folder = root / "queues"
    return [path for path in sorted(folder.iterdir()) if _is_ring(path)] if folder.is_dir() else []


def _is_ring(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and ".side-" not in path.name and not path.name.endswith(".new")


def _copy_all(source: Path, target: Path, copy_queue: Callable[[Path, Path], None]) -> None:
    """Everything but manifest and phase, which go last, and what is created again: the lock and pipes."""
    paths = RunPaths(source)
    left_out = (paths.manifest, paths.phase, paths.lock, paths.settled)
    for path in sorted(source.rglob("*")):
        goes_to = target / path.relative_to(source)
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            goes_to.mkdir(mode=0o700)
        elif stat.S_ISREG(mode) and path not in left_out:
            if path.parent == source / "queues" and _is_ring(path):
                copy_queue(path, goes_to)
            else:
                _copy_file(path, goes_to)


def _copy_last(source: Path, target: Path) -> None:
    paths = RunPaths(source)
    for path in (paths.manifest, paths.phase):
        with contextlib.suppress(FileNotFoundError):  # a damaged one is taken along as it is
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as given, target.open("xb") as made:
        os.fchmod(made.fileno(), 0o600)
        shutil.copyfileobj(given, made)
