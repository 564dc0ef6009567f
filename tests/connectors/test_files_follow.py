"""Following files: every line once, through renaming, truncation, packing, reused names and restarts."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from file_roles import journaled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.batch import rows_of
from penstock.connectors.files import lines
from penstock.connectors.files.follow import FollowReader, follow_splits
from penstock.connectors.files.identity import family, is_rotation
from penstock.connectors.files.line_reader import LineForm


class Tail:
    """A follower with a clock of its own; every look finds new files at once."""

    def __init__(self, *patterns: Path, at_end: bool = False) -> None:
        (self._split,) = follow_splits([str(pattern) for pattern in patterns], at_end).values()
        self._position: Any = None
        self._open()

    def _open(self) -> None:
        log = logging.getLogger("test")
        self.reader = FollowReader(self._split, self._position, LineForm(), discover_s=0, log=log)

    def look(self) -> list[str]:
        """What is new, over a few reads, as a worker would do them; each position is committed."""
        found: list[str] = []
        for _ in range(12):
            batch = self.reader.read()
            self._position = journaled(self.reader.position())
            found += rows_of(batch or [])
        return found

    def restart(self) -> None:
        self.reader.close()
        self._open()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture(params=[False, True], ids=["living", "restarted"])
def restarts(request: pytest.FixtureRequest) -> bool:
    """Whether the worker dies while the files change."""
    return bool(request.param)


def later(path: Path, seconds: int) -> None:
    """Give a file a later time stamp, as if it was written then."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + seconds * 10**9))


LONG = "".join(f"a line of the first file, number {number}\n" for number in range(60))


def test_lines_are_given_as_they_are_appended_and_an_unfinished_one_waits(tmp_path: Path, restarts: bool):
    log = tmp_path / "app.log"
    append(log, "a\nb")
    tail = Tail(log)
    assert tail.look() == ["a"]
    if restarts:
        tail.restart()
    append(log, "b\nc\n")
    assert tail.look() == ["bb", "c"]
    assert tail.look() == []


def test_files_that_come_later_are_read_from_their_beginning(tmp_path: Path, restarts: bool):
    tail = Tail(tmp_path / "*.log", at_end=True)
    assert tail.look() == []
    if restarts:
        tail.restart()
    append(tmp_path / "x.log", "first\n")
    assert tail.look() == ["first"]


def test_from_the_end_means_what_is_written_after_the_start(tmp_path: Path, restarts: bool):
    log = tmp_path / "app.log"
    append(log, "old\nbegun")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(b"very old\n"))
    tail = Tail(tmp_path / "app.log*", at_end=True)
    append(log, " and ended\n")
    assert tail.look() == ["begun and ended"]
    if restarts:
        tail.restart()
    (tmp_path / "app.log.1.gz").rename(tmp_path / "app.log.2.gz")
    append(log, "new\n")
    assert tail.look() == ["new"]


@pytest.mark.parametrize("pattern", ["app.log", "app.log*", "*"])
@pytest.mark.parametrize("text", ["a\nb\n", LONG], ids=["short", "long"])
def test_a_renamed_file_is_read_to_its_end_and_then_the_new_one(
    tmp_path: Path, restarts: bool, pattern: str, text: str
):
    log = tmp_path / "app.log"
    append(log, text)
    tail = Tail(tmp_path / pattern)
    assert tail.look() == text.splitlines()
    append(log, "late\nunfinished")
    log.rename(tmp_path / "app.log.1")
    if restarts:
        tail.restart()
    assert tail.look() == ["late"]
    append(tmp_path / "app.log.1", " but now\nlast")
    append(log, "new\n")
    later(log, 5)
    assert tail.look() == ["unfinished but now", "last", "new"]
    if restarts:
        tail.restart()
    assert tail.look() == []


def test_files_rotated_twice_while_the_worker_was_away_are_all_read(tmp_path: Path):
    log = tmp_path / "app.log"
    append(log, LONG)
    tail = Tail(log)
    tail.look()
    append(log, "end of 1\n")
    log.rename(tmp_path / "app.log.2")
    append(tmp_path / "app.log.1", "all of 2\n")
    later(tmp_path / "app.log.1", 5)
    append(log, "all of 3\n")
    later(log, 10)
    tail.restart()
    assert tail.look() == ["end of 1", "all of 2", "all of 3"]


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("text", ["a\nb\n", LONG], ids=["short", "long"])
def test_a_file_copied_and_truncated_is_read_to_its_end_in_the_copy_and_then_from_the_start(
    tmp_path: Path, restarts: bool, pattern: str, text: str
):
    log = tmp_path / "app.log"
    append(log, text)
    tail = Tail(tmp_path / pattern)
    assert tail.look() == text.splitlines()
    append(log, "late\n")
    shutil.copy(log, tmp_path / "app.log.1")
    os.truncate(log, 0)
    append(log, "x\n")
    if restarts:
        tail.restart()
    assert tail.look() == ["late", "x"]
    if restarts:
        tail.restart()
    append(log, "y\n")
    assert tail.look() == ["y"]


def test_a_copy_in_the_making_is_not_read_as_a_file_of_its_own(tmp_path: Path, restarts: bool):
    log = tmp_path / "app.log"
    append(log, LONG)
    tail = Tail(tmp_path / "app.log*")
    tail.look()
    shutil.copy(log, tmp_path / "app.log.1")
    if restarts:
        tail.restart()
    assert tail.look() == []


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_a_rotated_file_that_is_packed_is_known_again_and_read_on(tmp_path: Path, restarts: bool, pattern: str):
    log = tmp_path / "app.log"
    append(log, LONG)
    tail = Tail(tmp_path / pattern)
    tail.look()
    append(log, "late\n")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    append(log, "new\n")
    later(log, 5)
    if restarts:
        tail.restart()
    assert tail.look() == ["late", "new"]
    (tmp_path / "app.log.1.gz").rename(tmp_path / "app.log.2.gz")
    if restarts:
        tail.restart()
    assert tail.look() == []


def test_a_packed_file_that_is_still_written_is_left_for_later(tmp_path: Path):
    whole = gzip.compress(LONG.encode())
    (tmp_path / "old.log.1.gz").write_bytes(whole[:30])
    tail = Tail(tmp_path / "old.log*")
    assert tail.look() == []
    (tmp_path / "old.log.1.gz").write_bytes(whole)
    assert tail.look() == LONG.splitlines()


def test_packed_history_is_read_once(tmp_path: Path, restarts: bool):
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(b"old\n"))
    tail = Tail(tmp_path / "app.log*")
    assert tail.look() == ["old"]
    if restarts:
        tail.restart()
    (tmp_path / "app.log.1.gz").rename(tmp_path / "app.log.2.gz")
    append(tmp_path / "app.log", "new\n")
    assert tail.look() == ["new"]


def test_an_inode_used_again_by_another_file_is_another_file(tmp_path: Path, restarts: bool):
    log = tmp_path / "app.log"
    append(log, LONG)
    tail = Tail(log)
    tail.look()
    with log.open("r+") as file:  # the same inode with other content, and longer than what was read
        file.write("other\n" * 1000)
    if restarts:
        tail.restart()
    assert tail.look() == ["other"] * 1000


def test_two_files_that_begin_alike_are_both_read(tmp_path: Path):
    append(tmp_path / "worker-1.log", "start\n")
    tail = Tail(tmp_path / "*.log")
    assert tail.look() == ["start"]
    append(tmp_path / "worker-2.log", "start\nmore\n")
    assert tail.look() == ["start", "more"]


def test_a_deleted_file_gives_its_last_line(tmp_path: Path):
    append(tmp_path / "a.log", "x\ny")
    tail = Tail(tmp_path / "*.log")
    assert tail.look() == ["x"]
    (tmp_path / "a.log").unlink()
    assert tail.look() == ["y"]
    assert tail.reader.position()["files"] == []


def test_a_file_that_is_gone_after_a_restart_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    append(tmp_path / "a.log", "x\n")
    tail = Tail(tmp_path / "*.log")
    tail.look()
    (tmp_path / "a.log").unlink()
    tail.restart()
    assert "a.log is gone" in caplog.text
    assert tail.look() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from(["append", "append", "rename", "copy and truncate", "look", "restart", "pack"]), max_size=25
    )
)
def test_each_line_is_given_once_and_in_order_through_any_rotation(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
):
    folder = tmp_path_factory.mktemp("logs")
    log = folder / "app.log"
    tail = Tail(folder / "app.log*")
    written: list[str] = []
    given_lines: list[str] = []
    for clock, step in enumerate([*steps, "look", "look"], start=1):
        if step == "append":
            line = f"line {len(written)} of some length that tells it from others"
            append(log, line + "\n")
            written.append(line)
            os.utime(log, (clock, clock))
        elif step == "rename" and log.exists():
            log.rename(folder / f"app.log.{clock}")
            log.touch()
            os.utime(log, (clock, clock))
        elif step == "copy and truncate" and log.exists():
            given_lines += tail.look()  # copied while it is followed: what is known of it must be its own
            shutil.copy2(log, folder / f"app.log.{clock}")
            os.truncate(log, 0)
            os.utime(log, (clock, clock))
            given_lines += tail.look()
        elif step == "pack":
            for old in folder.glob("app.log.*[0-9]"):
                given_lines += tail.look()
                Path(f"{old}.gz").write_bytes(gzip.compress(old.read_bytes()))
                shutil.copystat(old, f"{old}.gz")
                old.unlink()
        elif step == "restart":
            tail.restart()
        elif step == "look":
            given_lines += tail.look()
    for _ in range(5):
        given_lines += tail.look()
    assert given_lines == written


def test_a_restart_resumes_with_the_file_that_was_to_be_read_next(tmp_path: Path):
    for name in ("a.log", "b.log", "c.log"):
        append(tmp_path / name, f"{name} 1\n")
    (split,) = follow_splits([str(tmp_path / "*.log")], False).values()
    log = logging.getLogger("test")
    reader = FollowReader(split, None, LineForm(), discover_s=0, log=log)
    for _ in range(12):
        position = journaled(reader.position())
        batch = reader.read()
        if batch:
            again = FollowReader(split, position, LineForm(), discover_s=0, log=log)
            assert again.read() == batch
            again.close()
        append(tmp_path / "a.log", "a.log more\n")
    reader.close()


def test_names_of_rotation_are_known():
    home = "/x/app.log"
    for name in ("app.log.1", "app.log.2.gz", "app.log-20240131", "app-20240131.log", "app.log.old", "app.log.gz"):
        assert is_rotation(f"/x/{name}", home), name
        assert family(f"/x/{name}") == home
    for name in ("app.log", "app.log-errors", "apple.log.1", "app.logs", "other.log"):
        assert not is_rotation(f"/x/{name}", home), name
    assert not is_rotation("/y/app.log.1", home)


def test_a_followed_source_is_unbounded_and_reads_a_file_once_though_several_patterns_match_it(tmp_path: Path):
    append(tmp_path / "a.log", "a\n")
    (tmp_path / "link.txt").symlink_to("a.log")
    patterns = [tmp_path / "*.log", tmp_path / "*", tmp_path / "a.log", tmp_path / "*.txt"]
    source = lines(patterns, follow=True)
    assert not source.bounded
    assert len(source.splits()) == 1
    tail = Tail(*patterns)
    assert tail.look() == ["a"]
    append(tmp_path / "b.log", "b\n")
    assert tail.look() == ["b"]
