"""A store in a directory, where the surroundings are not what one hopes for."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkpoints.cuts import held, holder, take
from mounted import FileSystem, mounted
from penstock.checkpoints.claimed import Claimed, claim
from penstock.checkpoints.directory_store import DirectoryStore
from penstock.checkpoints.history import newest_first, read_log
from penstock.checkpoints.store import CheckpointStore
from penstock.checkpoints.stores import open_store
from penstock.errors import CheckpointDamaged, NotPrivate, StoreTaken, StoreUnavailable

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be several users")


def _files(place: Path) -> Iterator[Path]:
    return (path for path in place.rglob("*") if path.is_file())


def _contents(store: CheckpointStore) -> list[tuple[bytes, bytes]]:
    return [held(store, manifest) for manifest in read_log(store).manifests]


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277, 0o777])
def test_files_are_the_users_alone_and_readable_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        store = open_store(tmp_path / "above" / "store", "clicks")
        take(claim(store, holder()), b"log", b"queue")
        assert _contents(store) == [(b"log", b"queue")]
    finally:
        os.umask(before)
    for path in (tmp_path / "above").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_store_reached_by_a_link_is_the_one_it_points_to(tmp_path):
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    take(claim(open_store(tmp_path / "link", "clicks"), holder()), b"log", b"queue")
    assert _contents(open_store(tmp_path / "disk", "clicks")) == [(b"log", b"queue")]


def test_a_link_in_the_place_of_a_pipelines_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store" / "clicks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotPrivate, match="is a link to one"):
        claim(open_store(tmp_path / "store", "clicks"), holder())


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_what_stands_where_a_file_stood_is_damage_and_the_checkpoint_before_is_used(tmp_path, kind, caplog):
    store = open_store(tmp_path, "clicks")
    claimed = claim(store, holder())
    first, second = take(claimed, b"", b"one"), take(claimed, b"", b"two")
    entry = tmp_path / "clicks" / "log" / "000000000003"
    content = tmp_path / "clicks" / "files" / next(iter(second.files))
    for path in (entry, content):
        path.unlink()
        match kind:
            case "link":
                path.symlink_to("/etc/passwd")
            case "folder":
                path.mkdir()
            case _:
                os.mkfifo(path, 0o600)
    assert list(newest_first(store)) == [first]
    assert "checkpoint 3 is damaged" in caplog.text
    with pytest.raises(CheckpointDamaged):
        held(store, second)


@as_root
def test_a_store_of_another_user_is_refused_and_named(tmp_path):
    take(claim(open_store(tmp_path, "clicks"), holder()), b"", b"queue")
    folder = tmp_path / "clicks"
    os.chown(folder, 12345, -1)
    for act in (lambda s: claim(s, holder()), read_log):
        with pytest.raises(NotPrivate, match="belongs to user 12345"):
            act(open_store(tmp_path, "clicks"))


@as_root
def test_a_place_that_others_can_replace_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NotPrivate, match="can be written by others"):
        claim(open_store(tmp_path / "open" / "store", "clicks"), holder())


@as_root
def test_two_users_may_share_a_place_where_nobody_can_take_anothers_things_away(tmp_path):
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o1777)
    for above in (tmp_path, *tmp_path.parents):
        if above.stat().st_uid == 0 and not above.stat().st_mode & stat.S_IXOTH:
            above.chmod(0o711)
    take(claim(open_store(place, "clicks"), holder()), b"", b"ours")

    def other() -> None:
        store = open_store(place, "orders")
        take(claim(store, holder()), b"", b"theirs")
        assert _contents(store) == [(b"", b"theirs")]
        with pytest.raises((NotPrivate, StoreUnavailable)):
            read_log(open_store(place, "clicks"))

    assert _as_user(12345, other) == 0
    assert _contents(open_store(place, "clicks")) == [(b"", b"ours")]


def _as_user(user: int, act: Callable[[], None]) -> int:
    """The exit status of a process of this user: 0, if `act` raised nothing."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            act()
            code = 0
        except BaseException as exc:
            os.write(2, f"{exc!r}\n".encode())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# Disks that are full, read-only, gone.


@pytest.fixture
def disk(tmp_path) -> Iterator[FileSystem]:
    with mounted(tmp_path / "disk", "size=2m,mode=0700") as found:
        yield found


@pytest.mark.parametrize("left", [0, 1, 4096, 8192, 12288, 20480, 40960])
def test_a_disk_that_is_full_in_the_middle_costs_the_checkpoint_and_leaves_nothing_behind(disk, left):
    store = open_store(disk.path / "store", "clicks")
    claimed = claim(store, holder())
    take(claimed, b"log " * 100, b"one")
    before = sorted(_files(disk.path / "store"))
    disk.fill(but=left)
    failed = 0
    for turn in range(12):
        try:
            take(claimed, b"log " * 1000 * (turn + 2), b"queue %d" % turn)
            before = []
        except StoreUnavailable as exc:
            failed += 1
            assert "No space left" in str(exc)
            assert "make room, then try again" in str(exc)
        assert all(log[:4] == b"log " for log, _ in _contents(store))
    assert failed
    if before:
        assert sorted(_files(disk.path / "store")) == before
    disk.make_room()
    take(claimed, b"log " * 9, b"last")
    claimed.retain(1)
    assert _contents(store) == [(b"log " * 9, b"last")]
    assert {path.name for path in (disk.path / "store" / "clicks" / "files").iterdir()} == set(
        claimed.manifests[-1].files
    )


def test_a_store_that_becomes_read_only_costs_checkpoints_and_can_still_be_read(disk):
    store = open_store(disk.path / "store", "clicks")
    claimed = claim(store, holder())
    take(claimed, b"log", b"one")
    disk.remount("ro")
    with pytest.raises(StoreUnavailable, match=r"Read-only file system\); give access to it, then try again"):
        take(claimed, b"log log", b"two")
    assert _contents(open_store(disk.path / "store", "clicks")) == [(b"log", b"one")]
    disk.remount("rw")
    take(claimed, b"log log", b"three")
    assert [queue for _, queue in _contents(store)] == [b"one", b"three"]


@as_root
def test_a_store_that_is_unmounted_gets_no_checkpoints_into_the_folder_below(tmp_path):
    with mounted(tmp_path / "disk", "size=2m,mode=0700") as disk:
        claimed = claim(open_store(disk.path, "clicks"), holder())
        take(claimed, b"log", b"one")
    with pytest.raises(StoreUnavailable):
        take(claimed, b"log log", b"two")
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.parametrize("again", [False, True])
def test_a_store_that_is_emptied_during_a_run_gets_no_checkpoint_that_lacks_a_part(tmp_path, again):
    store = open_store(tmp_path / "store", "clicks")
    claimed = claim(store, holder())
    take(claimed, b"log", b"one")
    shutil.rmtree(tmp_path / "store")
    if again:  # as another disk that is mounted there
        for folder in ("log", "files"):
            (tmp_path / "store" / "clicks" / folder).mkdir(parents=True, mode=0o700)
    told = None if again else "was removed, emptied or unmounted: bring it back, or start a new one by running again"
    with pytest.raises(StoreUnavailable, match=told):
        take(claimed, b"log", b"two")
    successor = claim(open_store(tmp_path / "store", "clicks"), holder(2))
    take(successor, b"log", b"three")
    assert _contents(store)[-1] == (b"log", b"three")


# File systems that do not do what Linux's own do, and calls that fail.


def _no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "no links here")


def test_without_hard_links_zombies_are_kept_out_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", _no_links)
    zombie = claim(open_store(tmp_path, "clicks"), holder(1))
    take(zombie, b"log", b"one")
    successor = claim(open_store(tmp_path, "clicks"), holder(2))
    with pytest.raises(StoreTaken, match="process 2"):
        take(zombie, b"log", b"two")
    take(successor, b"log", b"three")
    assert [queue for _, queue in _contents(successor.store)] == [b"one", b"three"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no folders here")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    store = open_store(tmp_path, "clicks")
    take(claim(store, holder()), b"log", b"queue")
    assert _contents(store) == [(b"log", b"queue")]


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "link", "unlink", "open", "scandir"])
def test_whichever_call_fails_the_next_checkpoint_is_right(tmp_path, monkeypatch, call):
    real = getattr(os, call)
    for nth in range(1, 14):
        store = DirectoryStore(tmp_path / f"store-{nth}", "clicks")
        claimed = claim(store, holder())
        take(claimed, b"log", b"one")
        calls = 0

        def fails(*words: object, nth: int = nth, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == nth:
                raise OSError(errno.EIO, "a fault of the test's")
            return real(*words, **named)

        monkeypatch.setattr(os, call, fails)
        told = _try(claimed, b"log log", b"two")
        monkeypatch.setattr(os, call, real)
        take(claimed, b"log log log", b"three")
        claimed.retain(9)
        queues = [queue for _, queue in _contents(store)]
        assert queues in ([b"one", b"three"], [b"one", b"two", b"three"])
        assert not told or b"two" in queues
        assert {path.name for path in (tmp_path / f"store-{nth}" / "clicks" / "files").iterdir()} == {
            file for manifest in claimed.manifests for file in manifest.files
        }


def _try(claimed: Claimed, log: bytes, queue: bytes) -> bool:
    try:
        take(claimed, log, queue)
    except StoreUnavailable as exc:
        assert "a fault of the test's" in str(exc)
        return False
    return True


def test_a_clock_that_jumps_back_changes_nothing(tmp_path, monkeypatch):
    store = open_store(tmp_path, "clicks")
    first = claim(store, holder(1))
    take(first, b"log", b"one")
    monkeypatch.setattr(time, "time", lambda: 5.0)
    second = claim(store, holder(2))
    take(second, b"log", b"two")
    with pytest.raises(StoreTaken):
        take(first, b"log", b"three")
    assert held(store, next(newest_first(store))) == (b"log", b"two")
