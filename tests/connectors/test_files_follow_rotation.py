"""Rotation of followed files as it happens: whatever is renamed, copied, packed, removed or killed, each line once."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from file_roles import journaled, rows_in
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.connectors.files import lines
from penstock.connectors.files.follow import SETTLES_S, FollowReader, follow_splits
from penstock.connectors.files.line_reader import LineForm
from penstock.errors import SourceDamaged
from penstock.source import Rejected
from penstock.testing import ManualClock

BANNER = "".join(f"# banner line {number}, the same in every file of this program\n" for number in range(20))
"""More than what fingerprints of a beginning cover."""
assert len(BANNER) > 1024


class Follower:
    """A follower on a clock of the test; what a read gave counts once its position is committed."""

    def __init__(self, *patterns: Path, at_end: bool = False, skips_damaged: bool = False) -> None:
        self._skips_damaged = skips_damaged
        (self._split,) = follow_splits([str(pattern) for pattern in patterns], at_end).values()
        self._split = journaled(self._split)
        self._position: Any = None
        self.clock = ManualClock()
        self.rows: list[Any] = []
        self._open()

    def _open(self) -> None:
        self._reader = FollowReader(
            self._split, self._position, LineForm(), discover_s=1.0, log=logging.getLogger("test"),
            skips_damaged=self._skips_damaged, clock=self.clock,
        )

    def read(self, *, commit: bool = True) -> bool:
        """One read. Without `commit` it is undone by the next `kill`. False: there was nothing."""
        given = self._reader.read()
        if commit:
            self._position = journaled(self._reader.position())
            self.rows += rows_in(given if given is not None else [])
        return given is not None

    def drain(self, seconds: float = 3.0) -> list[Any]:
        """All there is now; what was new."""
        before = len(self.rows)
        for _ in range(int(seconds)):
            self.clock.sleep(1.1)
            while self.read():
                pass
        return self.rows[before:]

    def kill(self) -> None:
        self._reader.close()
        self._open()

    def close(self) -> None:
        self._reader.close()


def append(path: Path, *rows: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{row}\n" for row in rows))


def numbered(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


@pytest.mark.parametrize("pattern", ["app.log", "*.log"])
@pytest.mark.parametrize("way", ["rename", "copy", "pack", "rename twice"])
def test_a_file_that_is_rotated_before_its_first_line_is_committed_is_read(tmp_path: Path, pattern: str, way: str):
    log = tmp_path / "app.log"
    append(log, *numbered("old", 100))
    follower = Follower(tmp_path / pattern)
    if way == "copy":
        shutil.copy(log, tmp_path / "app.log.1")
        os.truncate(log, 0)
    elif way == "pack":
        (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
        log.unlink()
    else:
        log.rename(tmp_path / "app.log.1")
        if way == "rename twice":
            append(log, *numbered("between", 50))
            (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
            log.rename(tmp_path / "app.log.1")
    append(log, *numbered("new", 30))
    follower.kill()
    between = numbered("between", 50) if way == "rename twice" else []
    assert follower.drain() == numbered("old", 100) + between + numbered("new", 30)


def test_a_file_that_came_and_was_rotated_between_two_looks_is_read(tmp_path: Path):
    log = tmp_path / "app.log"
    append(tmp_path / "app.log.1", "of another day")
    os.utime(tmp_path / "app.log.1", (1, 1))
    follower = Follower(log)
    assert follower.drain() == []
    append(log, "first")
    (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
    log.rename(tmp_path / "app.log.1")
    append(log, "second")
    assert follower.drain() == ["first", "second"]


def test_no_file_is_repeated_however_many_are_kept(tmp_path: Path):
    log = tmp_path / "app.log"
    follower = Follower(tmp_path / "app.log*")
    written: list[str] = []
    for number in range(100):
        written += (fresh := numbered(f"file {number}", 3))
        append(log, BANNER.rstrip("\n"), *fresh)
        follower.drain(2)
        log.rename(tmp_path / f"app.log.{number}")
    append(log, "last")
    follower.drain()
    for _ in range(2):
        follower.kill()
        follower.drain()
    assert [row for row in follower.rows if not row.startswith("#")] == [*written, "last"]
    assert len(follower.rows) == len(written) + 1 + 100 * BANNER.count("\n")
    for number in range(100):  # all at once, as a nightly job does
        old = tmp_path / f"app.log.{number}"
        (tmp_path / f"app.log.{number}.gz").write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
    follower.kill()
    assert follower.drain() == []


@pytest.mark.parametrize(
    "names", [("app.log", "app-2.log"), ("app.log", "app.log.1"), ("worker-1.log", "worker-2.log")]
)
@pytest.mark.parametrize("killed", [False, True])
def test_live_files_that_begin_alike_are_all_read(tmp_path: Path, names: tuple[str, str], killed: bool):
    follower = Follower(tmp_path / "*")
    for name in names:
        append(tmp_path / name, BANNER.rstrip("\n"))
        follower.drain()
    for round_number in range(3):
        for name in names:
            append(tmp_path / name, f"{name} {round_number}")
        follower.drain()
        if killed:
            follower.kill()
    found = [row for row in follower.rows if not row.startswith("#")]
    assert sorted(found) == sorted(f"{name} {number}" for name in names for number in range(3))
    assert len(follower.rows) == 2 * BANNER.count("\n") + 6


def test_a_copy_beside_a_living_file_is_read_at_last_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    log = tmp_path / "app.log"
    append(log, *numbered("line", 5))
    follower = Follower(tmp_path / "app.log*")
    assert follower.drain() == numbered("line", 5)
    shutil.copy(log, tmp_path / "app.log.1")
    assert follower.drain(5) == []
    assert follower.drain(SETTLES_S + 3) == numbered("line", 5)
    assert "is read as a separate file" in caplog.text


def test_an_inode_that_is_used_again_by_a_file_that_begins_alike_is_another_file(tmp_path: Path):
    log = tmp_path / "app.log"
    append(log, BANNER.rstrip("\n"))
    follower = Follower(log)
    assert len(follower.drain()) == BANNER.count("\n")
    follower.close()
    log.unlink()
    append(log, BANNER.rstrip("\n"), "more")  # ext4 gives it the number of the one before
    follower._open()
    assert follower.drain() == [*BANNER.splitlines(), "more"]


def test_a_packed_file_is_read_once_it_is_complete_and_a_broken_one_is_reported(tmp_path: Path):
    rows = [f"row {number * 7919 % 100_003}" for number in range(50_000)]
    whole = gzip.compress("".join(f"{row}\n" for row in rows).encode())
    follower = Follower(tmp_path / "*.gz", skips_damaged=True)
    path = tmp_path / "app.log.1.gz"
    for size in (10, 20_000, 60_000, len(whole)):
        path.write_bytes(whole[:size])
        follower.drain(2)
    assert follower.rows == rows
    (tmp_path / "app.log.2.gz").write_bytes(whole[:-30])
    follower.drain(SETTLES_S + 5)
    last = follower.rows[-1]
    assert isinstance(last, Rejected) and last.row == str(tmp_path / "app.log.2.gz")
    assert "ends in the middle" in last.reason
    follower.kill()
    assert follower.drain() == []
    strict = Follower(tmp_path / "app.log.2.gz")
    with pytest.raises(SourceDamaged, match="ends in the middle"):
        strict.drain(SETTLES_S + 5)
    strict.close()


def test_a_followed_file_that_is_not_text_is_named(tmp_path: Path):
    (tmp_path / "x.log").write_bytes("a\nb\n".encode("utf-16"))
    follower = Follower(tmp_path / "x.log")
    with pytest.raises(SourceDamaged, match='pass encoding="utf-16"'):
        follower.drain()
    follower.close()
    (tmp_path / "y.log").write_bytes(b"good\n\xff\nbetter\n")
    other = Follower(tmp_path / "y.log")
    good, bad, better = other.drain()
    assert (good, better) == ("good", "better") and bad.reason.startswith(f"{tmp_path}/y.log, line 2: ")
    assert lines(tmp_path / "x.log", follow=True, encoding="utf-16").check_source()


class Rotation(RuleBasedStateMachine):
    """A program that writes two logs which begin alike, a rotation that does what rotations do, a follower that dies.

    Every line but the banner is its own; each must be given exactly once, and those of one log in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="rotation-"))
        self.written: dict[str, list[str]] = {"app.log": [], "app-2.log": []}
        self.banners = 0
        self.serial = 0

    @initialize(before=st.booleans())
    def start(self, before: bool) -> None:
        if before:
            self.write("app.log")
        self.follower = Follower(self.folder / "*")

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str) -> None:
        path = self.path(name)
        if not path.exists() or path.stat().st_size == 0:
            append(path, BANNER.rstrip("\n"))
            self.banners += 1
        self.serial += 1
        line = f"{name} {self.serial}"
        self.written[name].append(line)
        append(path, line)

    @rule(name=st.sampled_from(["app.log", "app.log", "app-2.log"]))
    def program_writes(self, name: str) -> None:
        self.write(name)

    @rule()
    def rename(self) -> None:
        """Rotate by renaming: `.1` becomes `.2`, and so on."""
        self.shift()
        if self.path("app.log").exists():
            self.path("app.log").rename(self.path("app.log.1"))

    def shift(self) -> None:
        for number in range(60, 0, -1):  # so many that none is overwritten
            for ending in ("", ".gz"):
                old = self.path(f"app.log.{number}{ending}")
                if old.exists():
                    old.rename(self.path(f"app.log.{number + 1}{ending}"))

    @precondition(lambda self: self.path("app.log").exists() and self.path("app.log").stat().st_size)
    @rule()
    def copy_and_truncate(self) -> None:
        # What a copy takes along unread can only be known by what was read before it.
        self.follower.drain()
        self.shift()
        shutil.copy2(self.path("app.log"), self.path("app.log.1"))
        os.truncate(self.path("app.log"), 0)

    @precondition(lambda self: self.path("app.log.1").exists())
    @rule()
    def pack(self) -> None:
        old = self.path("app.log.1")
        packed = self.path("app.log.1.gz")
        packed.write_bytes(gzip.compress(old.read_bytes()))
        shutil.copystat(old, packed)
        old.unlink()

    @rule()
    def remove_what_was_read(self) -> None:
        self.follower.drain()
        for old in self.folder.glob("app.log.[3-9]*"):
            old.unlink()

    @rule()
    def look(self) -> None:
        self.follower.drain(2)

    @rule(count=st.integers(1, 4))
    def look_a_little(self, count: int) -> None:
        for _ in range(count):
            self.follower.read()

    @rule(uncommitted=st.integers(0, 3))
    def kill(self, uncommitted: int) -> None:
        for _ in range(uncommitted):
            self.follower.read(commit=False)
        self.follower.kill()

    @invariant()
    def nothing_is_given_twice(self) -> None:
        if hasattr(self, "follower"):
            own = [row for row in self.follower.rows if not row.startswith("#")]
            assert len(own) == len(set(own))

    def teardown(self) -> None:
        if hasattr(self, "follower"):
            self.follower.drain(5)
            self.follower.close()
            for name, expected in self.written.items():
                found = [row for row in self.follower.rows if row.startswith(f"{name} ")]
                assert sorted(found) == sorted(expected), name
            banners = sum(row.startswith("# banner line 0,") for row in self.follower.rows)
            assert banners == self.banners
        shutil.rmtree(self.folder)


Rotation.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_rotation = Rotation.TestCase
