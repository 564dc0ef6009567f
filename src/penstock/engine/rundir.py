"""Run directories: where they are, who has them, what a killed or failed run left, and removing that."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec
from msgspec.structs import replace

from penstock.errors import AlreadyRunning, FileUnusable, QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.run_files import refused
from penstock.state_dir import resolve_state_dir
from penstock.supervisor.cleanup import remove_run_dir

SHARED_MEMORY = Path("/dev/shm")
DAMAGED = "damaged"
"""Stands for the phase of a run whose manifest cannot be read."""


class Manifest(msgspec.Struct, frozen=True):
    """Who made a run directory, for what. Written last: a directory without one was never ready."""

    pipeline: str
    user: str
    cwd: str
    run_id: str
    started_s: float
    boot_id: str
    fingerprint: dict[str, str]
    state_dir: str
    check: int = 0
    """crc32 of all of this with a 0 here."""


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run directory on this machine."""

    name: str
    path: Path
    pid: int | None
    """The supervisor; None: left by a killed or failed run."""
    phase: str
    started_s: float
    size_bytes: int
    cwd: str


def parents(run_dir: Path | str | None, state_dir: Path | str | None = None) -> list[Path]:
    """Folders that run directories are made in, the preferred one first."""
    if run_dir is not None:
        return [Path(run_dir).expanduser().absolute()]
    disk = resolve_state_dir(state_dir) / "run"
    return [SHARED_MEMORY / f"penstock-{os.getuid()}", disk] if SHARED_MEMORY.is_dir() else [disk]


def folder_name(pipeline: str, cwd: str) -> str:
    """Identity: the same user, pipeline and working directory give the same folder.

    The user is the uid: it may have no name, and what the environment says is nobody's name.
    """
    digest = hashlib.sha256("\0".join((str(os.getuid()), pipeline, cwd)).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{pipeline}-{digest[:12]}"


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def lock_run_dir(path: Path) -> int:
    """Make the folder if it is not there and take its lock; the descriptor. Raises `AlreadyRunning`.

    A `flock`: it goes to the supervisor with the descriptor, over exec.
    """
    lock = RunPaths(path).lock
    while True:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # removed in between
        except IsADirectoryError as exc:
            raise FileUnusable(lock, "the run's lock", exc) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise AlreadyRunning(_pid_in(lock) or 0, path) from None
        try:
            if os.stat(lock).st_ino == os.fstat(fd).st_ino:
                write_owner(fd, os.getpid())
                return fd
        except FileNotFoundError:
            pass  # the folder was renamed away before we had the lock: try again
        except OSError:
            os.close(fd)
            raise
        os.close(fd)


def write_owner(fd: int, pid: int) -> None:
    """Note, for messages, who has the lock now. In place: it takes no room that a full disk would lack."""
    os.pwrite(fd, f"{pid:<20}".encode(), 0)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest's file, its checksum filled in."""
    return msgspec.json.encode(replace(manifest, check=_check(manifest)))


def _check(manifest: Manifest) -> int:
    return crc32(msgspec.json.encode(replace(manifest, check=0)))


def read_manifest(path: Path) -> Manifest | None:
    """None: the directory was never made ready. Raises `QueueDamaged`, `FileUnusable`."""
    file = RunPaths(path).manifest
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except FileNotFoundError:
        if read_phase(path) in ("running", "draining", "ended", "failed", "left"):
            raise QueueDamaged(file, "the manifest of a run that was up is missing") from None
        return None
    except OSError as exc:
        raise refused(file, "the manifest", exc) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise QueueDamaged(file, f"this is no manifest of this version ({exc})") from exc
    if manifest.check != _check(manifest):
        raise QueueDamaged(file, "the manifest does not hold what was written")
    return manifest


def read_phase(path: Path) -> str:
    """The phase that a run noted last, if that can be read: it is for those who look, mostly."""
    try:
        return RunPaths(path).phase.read_bytes().decode(errors="replace").strip()
    except OSError:
        return "starting"


def find_runs(run_dir: Path | None = None, state_dir: Path | None = None) -> list[FoundRun]:
    """Every run directory of this user, running or left."""
    found = []
    for parent in parents(run_dir, state_dir):
        if not parent.is_dir():
            continue
        for path in sorted(parent.iterdir()):
            run = _look_at(path)
            if run is not None:
                found.append(run)
    return found


def remove(found: FoundRun) -> None:
    """Remove what a run left. Raises `AlreadyRunning` when it runs (again)."""
    fd = lock_run_dir(found.path)
    try:
        remove_run_dir(found.path)
    finally:
        os.close(fd)


def is_there(*files: Path) -> bool:
    """True when one of these is there, or may be: who may not look finds out by opening it."""
    for file in files:
        try:
            if file.exists():
                return True
        except PermissionError:
            return True
    return False


def _look_at(path: Path) -> FoundRun | None:
    paths = RunPaths(path)
    if path.name.startswith(".") or not is_there(paths.lock, paths.manifest):
        return None
    pid = _pid_in(paths.lock) if _is_locked(paths.lock) else None
    try:
        manifest, phase = read_manifest(path), read_phase(path)
    except (QueueDamaged, FileUnusable):  # it is listed all the same, and can be removed
        manifest, phase = None, DAMAGED
    return FoundRun(
        name=manifest.pipeline if manifest else path.name.rpartition("-")[0], path=path, pid=pid, phase=phase,
        started_s=manifest.started_s if manifest else time.time(), size_bytes=_size_of(path),
        cwd=manifest.cwd if manifest else "",
    )


def _is_locked(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _pid_in(lock: Path) -> int | None:
    try:
        return int(lock.read_text() or 0) or None
    except (OSError, ValueError):
        return None


def _size_of(path: Path) -> int:
    total = 0
    for file in path.rglob("*"):
        try:
            total += file.lstat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total
