"""Run directories: where they are, who has them, what a killed or failed run left, and removing that."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import uuid
from pathlib import Path
from struct import Struct
from zlib import crc32

import msgspec
from msgspec.structs import replace

from penstock.errors import AlreadyRunning, FileUnusable, NotPrivate, QueueDamaged
from penstock.plan.paths import RunPaths
from penstock.private_files import is_ours, make_private, open_own, read_own
from penstock.run_files import refused
from penstock.state_dir import default_state_dir, resolve_state_dir
from penstock.supervisor.cleanup import remove_run_dir
from penstock.working_directory import resolved

SHARED_MEMORY = Path("/dev/shm")
VARIABLE = "PENSTOCK_RUN_DIR"
_MOST_ATTEMPTS = 100
_FLOCK = Struct("hhqqi4x")
REMOVING = "removing"
"""Stands for the phase of what a removal left that was killed."""
_REMOVAL_S = 30.0
"""So long a removal may be under way."""
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


class FoundRun(msgspec.Struct, frozen=True):
    """A run directory on this machine."""

    name: str
    path: Path
    pid: int | None
    """The supervisor; None: left by a killed or failed run."""
    phase: str
    started_s: float
    size_bytes: int
    cwd: str


def named(run_dir: Path | str | None) -> Path | None:
    """The folder that the user wants run directories in, if any: the argument, else `PENSTOCK_RUN_DIR`."""
    given = os.environ.get(VARIABLE) if run_dir is None else run_dir
    return resolved(given) if given else None


def parents(
    run_dir: Path | str | None, state_dir: Path | str | None = None, *, on_disk: bool = False
) -> list[Path]:
    """Folders that run directories are made in, the preferred one first, the one on disk last.

    `on_disk`: the run keeps what memory may not hold.
    """
    if (wanted := named(run_dir)) is not None:
        return [wanted]
    if on_disk:
        return [resolve_state_dir(state_dir) / "run"]
    memory = SHARED_MEMORY.resolve() / f"penstock-{os.getuid()}" if SHARED_MEMORY.is_dir() else None
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    spare = Path(session).resolve() / "penstock" if os.path.isabs(session) and os.path.isdir(session) else None
    return [place for place in (memory, spare, resolve_state_dir(state_dir) / "run") if place is not None]


def places(run_dir: Path | str | None, state_dir: Path | str | None = None) -> list[Path]:
    """Folders where run directories may be: those where they are made, and where what was left is moved to."""
    found = parents(run_dir, state_dir)
    left = left_to(run_dir)
    return found if left is None or left in found else [*found, left]


def left_to(run_dir: Path | str | None) -> Path | None:
    """The folder on disk for what runs leave in shared memory; None: it stays in the folder that was named.

    In the default state directory, wherever the dead letters of a run are, so that `status` and `clean` find it.
    """
    return default_state_dir() / "run" if named(run_dir) is None else None


def folder_name(pipeline: str, cwd: str) -> str:
    """Identity: the same user, pipeline and working directory give the same folder.

    The user is the uid: it may have no name, and what the environment says is nobody's name.
    """
    digest = hashlib.sha256("\0".join((str(os.getuid()), pipeline, cwd)).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{pipeline}-{digest[:12]}"


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def lock_run_dir(path: Path, *, in_own_place: bool = False) -> int:
    """Make the folder if it is not there and take its lock; the descriptor. Raises `AlreadyRunning`, `NotPrivate`.

    The lock belongs to the open file: it goes to the supervisor with the descriptor, over exec, and whoever looks can
    ask for it without taking it. `in_own_place`: the folder above shall be ours alone, too.
    """
    lock = RunPaths(path).lock
    attempts = 0
    while True:
        try:
            if in_own_place:
                make_private(path.parent, tighten=True)
            make_private(path)
            fd = open_own(lock, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            attempts += 1
            if attempts == _MOST_ATTEMPTS:
                raise  # nothing can be made there at all
            continue  # removed in between
        except IsADirectoryError as exc:
            raise FileUnusable(lock, "the run's lock", exc) from exc
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
        except (BlockingIOError, PermissionError):
            os.close(fd)
            raise AlreadyRunning(_pid_in(lock) or 0, path) from None
        except OSError:  # a file system without locks
            os.close(fd)
            raise
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
        manifest = msgspec.json.decode(read_own(file), type=Manifest)
    except FileNotFoundError:
        if read_phase(path) in ("running", "draining", "ended", "failed", "left"):
            raise QueueDamaged(file, "the manifest of a run that had started is missing") from None
        return None
    except (OSError, NotPrivate) as exc:
        raise refused(file, "the manifest", exc) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise QueueDamaged(file, f"this is not a manifest of this version ({exc})") from exc
    if manifest.check != _check(manifest):
        raise QueueDamaged(file, "the manifest does not hold what was written")
    return manifest


def read_phase(path: Path) -> str:
    """The phase that a run noted last, if that can be read: it is for those who look, mostly."""
    try:
        return read_own(RunPaths(path).phase).decode(errors="replace").strip()
    except (OSError, NotPrivate):
        return "starting"


def find_runs(run_dir: Path | None = None, state_dir: Path | None = None) -> list[FoundRun]:
    """Every run directory of this user, running or left. What is, or may be, another user's is not looked into."""
    wanted = named(run_dir) is not None
    entries = [path for parent in places(run_dir, state_dir) for path in _entries(parent, wanted=wanted)]
    return [run for path in entries if (run := _look_at(path)) is not None]


def _entries(parent: Path, *, wanted: bool) -> list[Path]:
    if not os.path.isdir(parent) or not (wanted or is_ours(parent, tighten=True)):
        return []
    try:
        return sorted(parent.iterdir())
    except FileNotFoundError:
        return []  # the last run in it has ended
    except OSError as exc:
        raise FileUnusable(parent, "the folder of runs", exc) from exc


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


def is_lost(path: Path, left: Manifest) -> bool:
    """True: the machine was restarted since, and nobody knows which parts of the queues had reached the disk."""
    return left.boot_id != boot_id() and not RunPaths(path).settled.exists()


def was_left_in(place: Path) -> bool:
    """True: there is, or may be, something of a run that was ready."""
    return is_ours(place) and is_there(RunPaths(place).manifest, RunPaths(place).phase)


def new_run_id() -> str:
    """One that no other run has."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + uuid.uuid4().hex[:6]


def _look_at(path: Path) -> FoundRun | None:
    paths = RunPaths(path)
    if path.name.startswith("."):
        return _cut_short(path)
    if not is_ours(path) or not is_there(paths.lock, paths.manifest):
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


def _cut_short(path: Path) -> FoundRun | None:
    """What stays of a run directory whose removal, or whose move, was killed: nothing that anybody needs."""
    try:
        since = path.stat().st_mtime
    except FileNotFoundError:
        return None
    if not path.name.endswith(".removing") or not is_ours(path) or time.time() < since + _REMOVAL_S:
        return None
    name = path.name.removeprefix(".").removesuffix(".removing").rpartition("-")[0]
    return FoundRun(name, path, None, REMOVING, since, _size_of(path), "")


def _is_locked(lock: Path) -> bool:
    try:
        fd = open_own(lock, os.O_RDWR)
    except (OSError, NotPrivate):
        return False
    try:
        # Asked, not tried: a lock that was taken only to look would refuse a run that begins this very moment.
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _whole_file(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)


def _pid_in(lock: Path) -> int | None:
    try:
        return int(read_own(lock) or 0) or None
    except (OSError, NotPrivate, ValueError):
        return None


def _size_of(path: Path) -> int:
    total = 0
    for folder, folders, files in os.walk(path):  # passes over folders that are removed meanwhile
        for name in (*folders, *files):
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
