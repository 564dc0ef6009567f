"""Claims: what one run writes to, no other run writes to meanwhile, whatever its name, directory or user.

A claim is a lock on a hidden file beside the target. The supervisor holds its descriptor, so the lock goes with the
run, also by `kill -9`. What the file says outlives it: a run that was left unfinished keeps its targets until it is run
to its end or discarded. A directory is claimed whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from penstock.errors import FileUnusable, NotPrivate, TargetInUse
from penstock.plan.paths import RunPaths
from penstock.private_files import read_own, replace_own

_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_MOST_BYTES = 64 * 1024


class Note(msgspec.Struct, frozen=True):
    """What is in the file of a claim."""

    pipeline: str
    run_dir: str


def take(run_dir: Path, pipeline: str, targets: Iterable[str]) -> list[int]:
    """Claim real paths for a run; the descriptors, which hold the claims. Raises `TargetInUse`, `FileUnusable`."""
    claimed: list[int] = []
    files: list[str] = []
    try:
        for target in sorted(set(targets)):
            if _is_odd(target):
                continue  # a device or a pipe is nobody's
            file = claim_file(target)
            try:
                claimed.append(_take(target, file, Note(pipeline, str(run_dir))))
            except OSError as exc:
                raise FileUnusable(file, "the claim on a target", exc) from exc
            files.append(file)
        if files:
            _note_files(RunPaths(run_dir).claims, files)
    except BaseException:
        for fd in claimed:
            os.close(fd)
        forget(run_dir, files)
        raise
    return claimed


def _note_files(path: Path, files: list[str]) -> None:
    try:
        replace_own(path, msgspec.json.encode(files))
    except OSError as exc:
        raise FileUnusable(path, "the list of what this run writes to", exc) from exc


def claim_file(target: str) -> str:
    """The hidden file beside a target, by its real path."""
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.claim")


def _is_odd(target: str) -> bool:
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _take(target: str, file: str, note: Note) -> int:
    os.makedirs(os.path.dirname(file), exist_ok=True)
    while True:
        fd = _open(target, file)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_still(fd, file) and not _is_still(fd, target):
                os.close(fd)
                continue  # its last holder has removed it meanwhile
            there = _read(fd)
            if there is not None and there.run_dir != note.run_dir and RunPaths(Path(there.run_dir)).manifest.exists():
                raise TargetInUse(target, there.pipeline, there.run_dir, running=False)
            _write(fd, file, note)
            return fd
        except BlockingIOError:
            holder = _read(fd) or Note("", "")
            os.close(fd)
            raise TargetInUse(target, holder.pipeline, holder.run_dir, running=True) from None
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise


def _open(target: str, file: str) -> int:
    """The claim's file; where none can be made, what shall be written itself."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
    except PermissionError:
        place = file if os.path.lexists(file) else target
        return os.open(place, os.O_RDONLY | _FLAGS)


def _is_still(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _read(fd: int) -> Note | None:
    """None: nothing that a claim would say. Anybody may have written it: it is asked for a name and a place only."""
    try:
        return msgspec.json.decode(os.pread(fd, _MOST_BYTES, 0), type=Note)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
        return None


def _write(fd: int, file: str, note: Note) -> None:
    if _is_still(fd, file) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR:
        data = msgspec.json.encode(note)
        os.ftruncate(fd, 0)
        os.pwrite(fd, data, 0)


def noted(run_dir: Path) -> list[str]:
    """The files of a run's claims."""
    try:
        return msgspec.json.decode(read_own(RunPaths(run_dir).claims), type=list[str])
    except (OSError, NotPrivate, msgspec.MsgspecError, UnicodeDecodeError):
        return []  # it has none; or what is left of them means nothing once its run directory is gone


def move(run_dir: Path, target: Path) -> None:
    """What was left in a run directory lies in `target` now, and keeps its claims from there."""
    for file in noted(run_dir):
        try:
            fd = os.open(file, os.O_RDWR | _FLAGS)
        except OSError:
            continue  # it is gone, or means nothing any more: who made it may not write it
        try:
            note = _read(fd)
            if note is not None and note.run_dir == str(run_dir):
                _write(fd, file, Note(note.pipeline, str(target)))
        finally:
            os.close(fd)


def forget(run_dir: Path, files: Iterable[str]) -> None:
    """Remove the files of claims, so far as they are this run's still; once its directory is gone."""
    for file in files:
        try:
            fd = os.open(file, os.O_RDONLY | _FLAGS)
        except OSError:
            continue
        try:
            with contextlib.suppress(BlockingIOError):  # held by our own supervisor, which is about to end
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            note = _read(fd)
            if note is not None and note.run_dir == str(run_dir) and _is_still(fd, file):
                with contextlib.suppress(OSError):  # a folder that may not be written any more: it means nothing
                    os.unlink(file)
        finally:
            os.close(fd)
