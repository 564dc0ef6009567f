"""Checkpoints in a directory: of a disk that outlives the machine's memory, or of a file system that machines share.

Durable means: the file is synced, then it gets its name, then the folder is synced. A file that is being written has a
name that nobody reads. Everything is in folders of this user, whose rights others do not have (`private_files`): what
is read from a checkpoint is unpickled.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from penstock.checkpoints.store import Bytes, CheckpointStore, FileLost, StoreFile
from penstock.errors import NotPrivate, StoreUnavailable, remedy_of
from penstock.private_files import held_below, hold_again, open_own

_UNFINISHED: Final = ".unfinished-"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_FOLDERS: Final = ("log", "files")
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""A file system that has no hard links."""
_BROKEN: Final = (errno.EIO, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ESPIPE)
"""A bad sector; something else stands where the file stood."""
_NOT_SYNCABLE: Final = (errno.EINVAL, errno.EACCES)
"""A file system whose folders cannot be synced."""


class DirectoryStore(CheckpointStore):
    """`<place>/<pipeline>/<folder>/<name>`."""

    def __init__(self, place: Path, pipeline: str) -> None:
        """`place`: absolute, and without links."""
        super().__init__(str(place / pipeline))
        self._tree = _Tree(place, pipeline)
        self._made = False

    def writing(self, name: str) -> StoreFile:
        self._make()
        return _DirectoryFile(self._tree, name)

    def create(self, name: str, data: bytes) -> bool:
        self._make()
        folder, _, last = name.partition("/")
        with self._tree.told(f"{name} cannot be written"), self._tree.folder(folder) as fd:
            temporary, file = _begin(fd)
            try:
                try:
                    _write_all(file, data)
                    os.fsync(file)
                finally:
                    os.close(file)
                created = _name_once(fd, temporary, last)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=fd)
            _sync(fd)  # where it was there, too: it may be ours, from a call that failed at this very line
            return created

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        folder, _, last = name.partition("/")
        with self._tree.told(f"{name} cannot be read"):
            try:
                with self._tree.folder(folder) as fd:
                    file = open_own(last, os.O_RDONLY, dir_fd=fd)
                try:
                    return _read(file, offset, os.fstat(file).st_size if length is None else length)
                finally:
                    os.close(file)
            except FileNotFoundError:
                raise FileLost(name) from None
            except OSError as exc:
                if exc.errno not in _BROKEN:
                    raise
                raise FileLost(name, f"cannot be read ({exc.strerror})") from exc

    def sizes(self, folder: str) -> dict[str, int]:
        with self._tree.told("it cannot be read"):
            try:
                with self._tree.folder(folder) as fd, os.scandir(fd) as found:
                    return {entry.name: _size(entry) for entry in found if not entry.name.startswith(".")}
            except FileNotFoundError:
                return {}

    def delete(self, names: Sequence[str]) -> None:
        for folder in dict.fromkeys(name.partition("/")[0] for name in names):
            self._delete(folder, [name.partition("/")[2] for name in names if name.startswith(f"{folder}/")])

    def tidy(self) -> None:
        for folder in _FOLDERS:
            unfinished: list[str] = []
            with self._tree.told("it cannot be read"), suppress(FileNotFoundError), self._tree.folder(folder) as fd:
                unfinished += [name for name in os.listdir(fd) if name.startswith(_UNFINISHED)]
            self._delete(folder, unfinished)

    def _delete(self, folder: str, names: Sequence[str]) -> None:
        with self._tree.told("files cannot be deleted"), suppress(FileNotFoundError), self._tree.folder(folder) as fd:
            for name in names:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=fd)
            if names:
                _sync(fd)

    def _make(self) -> None:
        # Once: a directory that vanishes later was unmounted, or emptied, and checkpoints in a new one would lack
        # what they share with those before.
        if not self._made:
            with self._tree.told("it cannot be made"):
                self._tree.make()
            self._made = True


def pipelines_below(place: Path) -> list[str]:
    """The folders of a place that look like those of pipelines. Raises `StoreUnavailable`."""
    try:
        with os.scandir(place) as found:
            return [entry.name for entry in found if entry.is_dir(follow_symlinks=False) and _is_store(entry.path)]
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise _unavailable(place, "it cannot be read", exc) from exc


def _is_store(path: str) -> bool:
    """False for whatever else is in that place: opening a store takes rights of others away."""
    parts = (os.path.join(path, folder) for folder in _FOLDERS)
    return all(os.path.isdir(part) and not os.path.islink(part) for part in parts)


def _unavailable(place: Path, what: str, error: OSError) -> StoreUnavailable:
    told = f"{what} ({error.strerror or error})"
    if error.errno == errno.ENOENT:
        remedy = "the store was removed, emptied or unmounted: bring it back, or start a new one by running again"
        return StoreUnavailable(str(place), told, remedy)
    return StoreUnavailable(str(place), told, f"{remedy_of(error.errno)}, then try again")


class _Tree:
    """The folders of one pipeline, opened again for each call: none is held across an unmount."""

    def __init__(self, place: Path, pipeline: str) -> None:
        self._place = place
        self._pipeline = pipeline
        self._seen: set[str] = set()

    @contextmanager
    def folder(self, name: str) -> Iterator[int]:
        if name not in self._seen:
            # The way to it is looked at once: a look takes longer than what is done there.
            with held_below(self._place, (self._pipeline, name), make=False) as fd:
                self._seen.add(name)
                yield fd
            return
        fd = hold_again(self._place / self._pipeline / name)
        try:
            yield fd
        finally:
            os.close(fd)

    def make(self) -> None:
        """The folders, where they are not there yet; their names are on the disk, too."""
        last = self._place / self._pipeline
        lacking = [path for path in (last, *last.parents) if not path.is_dir()]
        for folder in _FOLDERS:
            with held_below(self._place, (self._pipeline, folder), make=True):
                pass
        for above in (last, *(path.parent for path in lacking)):
            _sync_path(above)

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise _unavailable(self._place / self._pipeline, what, exc) from exc


class _DirectoryFile(StoreFile):
    def __init__(self, tree: _Tree, name: str) -> None:
        self._tree = tree
        self._folder, _, self._name = name.partition("/")
        self._what = f"{name} cannot be written"
        with tree.told(self._what), tree.folder(self._folder) as fd:
            self._temporary, self._file = _begin(fd)
        self._open = True

    def write(self, data: Bytes) -> None:
        with self._tree.told(self._what):
            _write_all(self._file, data)

    def close(self) -> None:
        with self._tree.told(self._what):
            os.fsync(self._file)
            with self._tree.folder(self._folder) as fd:
                os.rename(self._temporary, self._name, src_dir_fd=fd, dst_dir_fd=fd)
                _sync(fd)
        self._close()

    def abandon(self) -> None:
        self._close()
        # Whatever is in the way of removing it: the next claim does (`tidy`).
        with suppress(OSError, NotPrivate), self._tree.folder(self._folder) as fd:
            os.unlink(self._temporary, dir_fd=fd)

    def _close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._file)


def _begin(folder: int) -> tuple[str, int]:
    """A new file of a name that nobody reads: (name, descriptor)."""
    name = _UNFINISHED + uuid.uuid4().hex
    file = open_own(name, _NEW, dir_fd=folder)
    os.fchmod(file, 0o600)  # whatever the umask took away
    return name, file


def _name_once(folder: int, temporary: str, name: str) -> bool:
    """Give a file a name that no other has. False: there is one."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        return _name_under_lock(folder, temporary, name)
    return True


def _name_under_lock(folder: int, temporary: str, name: str) -> bool:
    """The same where there are no hard links: whoever has the folder's lock may look, and rename."""
    import fcntl  # most file systems have links

    lock = open_own(".lock", os.O_RDWR | os.O_CREAT, dir_fd=folder)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            return True
        return False
    finally:
        os.close(lock)


def _write_all(file: int, data: Bytes) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(file, view) :]


def _read(file: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes; a single call gives at most 2 GiB."""
    parts = []
    while length and (part := os.pread(file, length, offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # deleted in between
        return 0


def _sync_path(path: Path) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # one in which we may make folders, but not look
        return
    try:
        _sync(fd)
    finally:
        os.close(fd)


def _sync(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as exc:
        if exc.errno not in _NOT_SYNCABLE:
            raise
