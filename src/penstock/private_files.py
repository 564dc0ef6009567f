"""Directories and files that nobody but this user can write, so that what is in them may be believed.

Shared memory and temporary directories are open to every user of a machine: whoever comes first makes what is there. So
a directory is ours only if an `fstat` of the opened one says so, and the way to it counts as well: who can write above
it can put another one in its place. In a directory that is ours nothing needs to be looked at again.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from penstock.errors import NotPrivate

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_OURS = {errno.ENOTDIR, errno.ELOOP, errno.ENXIO}
_PRIVATE = 0o700


# What may be trusted. Pure, but for the names of users and groups.


def objection(found: os.stat_result, trusted: frozenset[int], *, sticky: bool = False, alone: bool = False) -> str:
    """Why what has this status may hold what another user put there; empty: it cannot.

    `trusted`: users that may own it. `sticky`: it may be a directory where everybody can write, but nobody can take
    away what is another's. `alone`: its group has no other member.
    """
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in trusted:
        return f"belongs to {user(found.st_uid)} (mode {mode:04o})"
    others = mode & (stat.S_IWOTH if alone else stat.S_IWOTH | stat.S_IWGRP)
    if not others or (sticky and mode & stat.S_ISVTX):
        return ""
    return f"can be written by others (mode {mode:04o}, of {user(found.st_uid)})"


def user(uid: int) -> str:
    """As messages name a user, who may have no name."""
    try:
        return f"user {pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"user {uid}"


def _us() -> frozenset[int]:
    return frozenset((os.geteuid(),))


def _keepers() -> frozenset[int]:
    """Who may own what stands above ours: us, and those who can do all anyway."""
    return _us() | {0} | _unnamed_root()


@cache
def _unnamed_root() -> frozenset[int]:
    """In a user namespace that does not know the machine's root, files of root look like those of the overflow user."""
    try:
        everybody = Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
        return frozenset(() if everybody else (int(Path("/proc/sys/kernel/overflowuid").read_text()),))
    except OSError:
        return frozenset()


def _is_alone(group: int, path: Path) -> bool:
    """True: the group is the private one of this user, as many systems give each user; then 0775 is as 0755."""
    try:
        entry, name = grp.getgrgid(group), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return entry.gr_name == name and set(entry.gr_mem) <= {name} and not _has_acl(path)


def _has_acl(path: Path) -> bool:
    """With an access list, the bits of the group are those of everybody in the list."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


# Directories.


def require_safe_place(path: Path) -> None:
    """Raise `NotPrivate` where others could put something in place of what we make in a directory, or of itself.

    It need not be there yet. It may be one in which everybody can write, if nobody can take away what is another's.
    """
    for above in (path, *path.parents):
        try:
            found = os.lstat(above)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(found.st_mode):
            raise NotPrivate(above, "is not a directory")
        alone = found.st_uid == os.geteuid() and _is_alone(found.st_gid, above)
        if why := objection(found, _keepers(), sticky=True, alone=alone):
            raise NotPrivate(above, why)


def make_private(path: Path, *, tighten: bool = False) -> None:
    """Make a directory of ours that nobody else can write, or look whether what is there is one; see `hold`."""
    os.close(hold(path, make=True, tighten=tighten))


def hold(path: Path, *, make: bool = False, tighten: bool = False) -> int:
    """A descriptor of a directory that is ours. Raises `NotPrivate`, and `OSError` where there is none.

    `make`: make it, and what lacks above it. `tighten`: take the rights of others away, rather than refuse a
    directory of ours that they could write; for those of which every entry is looked at again.
    """
    require_safe_place(path.parent)
    if make:
        for above in reversed(path.parents):
            _make_dir(above)
        _make_dir(path)
    return _opened(path, None, tighten)


def _make_dir(path: Path | str, dir_fd: int | None = None) -> None:
    try:
        os.mkdir(path, _PRIVATE, dir_fd=dir_fd)
    except FileExistsError:
        return
    except OSError:
        if dir_fd is None and os.path.isdir(path):
            return  # a root that says "read-only" rather than "it exists"
        raise
    # Whatever the umask: what it took away of our own rights comes back.
    os.chmod(path, _PRIVATE, dir_fd=dir_fd)


def _opened(path: Path | str, dir_fd: int | None, tighten: bool) -> int:
    try:
        fd = os.open(path, _DIRECTORY, dir_fd=dir_fd)
    except OSError as exc:
        if exc.errno in _NOT_OURS:
            raise NotPrivate(path, "is not a directory, or is a link to one") from exc
        if exc.errno == errno.EACCES:  # our own we may always open, once its rights are ours again
            found = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
            if why := objection(found, _us()):
                raise NotPrivate(path, why) from exc
        raise
    try:
        found = os.fstat(fd)
        why = objection(found, _us())
        if why and tighten and found.st_uid in _us():
            os.fchmod(fd, _PRIVATE)
            why = ""
        if why:
            raise NotPrivate(path, why)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def held_below(place: Path, names: Sequence[str], *, make: bool) -> Iterator[int]:
    """The descriptor of `place/names[0]/names[1]/...`, each of them ours and no link; `place` is only safe.

    Rights of others to write there are taken away. Raises as `hold` does.
    """
    require_safe_place(place)
    if make:
        for above in (*reversed(place.parents), place):
            _make_dir(above)
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for number, name in enumerate(names):
            if make:
                _make_dir(name, fd)
            try:
                inner = _opened(name, fd, tighten=True)
            except NotPrivate as exc:
                raise NotPrivate(place.joinpath(*names[: number + 1]), exc.why) from exc
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def hold_again(path: Path) -> int:
    """A descriptor of a directory that is ours, for which `hold` or `held_below` has looked at the way to it before."""
    return _opened(path, None, tighten=True)


def is_ours(path: Path, *, tighten: bool = False) -> bool:
    """True: `hold` would not object to this directory. Looks at nothing that is in it, and changes nothing."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    return found.st_uid in _us() if tighten else not objection(found, _us())


def remove_directory(path: Path) -> None:
    """Make away with a directory of ours and all in it; links in it are removed, never followed.

    Renamed first, so that nobody takes half of one for a whole one. What is not there is no error.
    """
    with _opened_above(path) as above:
        doomed = f".{path.name}.removing"
        _clear(doomed, above)
        try:
            os.rename(path.name, doomed, src_dir_fd=above, dst_dir_fd=above)
        except FileNotFoundError:
            return
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EPERM):
                raise
            doomed = f"{doomed}-{uuid.uuid4().hex}"  # somebody else's stands there
            os.rename(path.name, doomed, src_dir_fd=above, dst_dir_fd=above)
        _remove_tree(doomed, above)


@contextmanager
def _opened_above(path: Path) -> Iterator[int]:
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _clear(name: str, above: int) -> None:
    """What a removal that was killed has left."""
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return
    if found.st_uid in _us() and stat.S_ISDIR(found.st_mode):
        _remove_tree(name, above)


def _remove_tree(name: str, above: int) -> None:
    import shutil  # with its formats of archives; most processes remove nothing

    shutil.rmtree(name, dir_fd=above)


# Files.


def require_own(fd: int, path: Path | str) -> None:
    """Raise `NotPrivate` for an open file that others own or can write."""
    if why := objection(os.fstat(fd), _us()):
        raise NotPrivate(path, why)


def open_own(path: Path | str, flags: int, *, dir_fd: int | None = None, single: bool = False) -> int:
    """Open a file of ours, and no link; made with mode 0600 where `flags` say so. Raises `NotPrivate`, `OSError`.

    Does not wait for whoever has the other end of a FIFO. `single`: nor may it stand anywhere else by another name.
    """
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600, dir_fd=dir_fd)
    try:
        require_own(fd, path)
        if single and os.fstat(fd).st_nlink != 1:
            raise NotPrivate(path, "has another name somewhere else (a hard link)")
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_own(path: Path | str) -> bytes:
    """A whole file of ours. Raises as `open_own` does."""
    fd = open_own(path, os.O_RDONLY)
    try:
        with open(fd, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(fd)


def replace_own(path: Path, data: bytes) -> None:
    """Put a file in the place of what is there, in one step; mode 0600 whatever the umask."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
