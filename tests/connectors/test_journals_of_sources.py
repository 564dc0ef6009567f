"""A journal of a source: what was synced is there again, whatever happened to the process, and goes when it may."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.batch import Lines
from penstock.connectors.journal import Journal, JournalFull
from penstock.connectors.journaled import Journaled
from penstock.errors import SourceDamaged
from penstock.operator import Hooks
from penstock.source import EndOfSplit, Position, Reader, Rejected, Source, WithRejected


def read_all(journal: Journal, begin: int | None = None) -> list[bytes]:
    at, found = journal.first if begin is None else begin, []
    while at < journal.end:
        body, at = journal.read(at)
        found.append(body)
    return found


_bodies = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=4), max_size=20)


@settings(max_examples=60)
@given(_bodies, st.integers(20, 200), st.data())
def test_what_was_appended_is_read_again_from_any_offset_by_any_later_process(
    tmp_path_factory: Any, groups: list[list[bytes]], segment_bytes: int, data: Any
) -> None:
    folder = tmp_path_factory.mktemp("journal") / "j"
    journal = Journal(folder, segment_bytes)
    known, trimmed = [(b"", 0)], 0
    for group in groups:
        if data.draw(st.booleans()):
            journal.close()
            journal = Journal(folder, segment_bytes)
        known += list(zip(group, journal.append(group), strict=True))
        if data.draw(st.booleans()):
            trimmed = data.draw(st.sampled_from([offset for _, offset in known if offset >= trimmed]))
            journal.trim(trimmed)
        begin = data.draw(st.sampled_from([offset for _, offset in known if offset >= trimmed]))
        assert read_all(journal, begin) == [body for body, offset in known if offset > begin]
        assert read_all(journal) == [body for body, offset in known if offset > trimmed]
        assert journal.last == known[-1][0]
        assert sum(path.stat().st_size for path in folder.glob("journal.*")) <= journal.end - trimmed + 4 * 52 + 200
    journal.close()


@pytest.mark.parametrize("torn", [b"PS", b"PSJF\x10\0\0\0\0\0\0\0half", bytes(4096)])
def test_what_was_not_synced_is_cut_off_and_what_follows_stands_behind_what_was(tmp_path: Path, torn: bytes) -> None:
    journal = Journal(tmp_path / "j")
    journal.append([b"one", b"two"])
    journal.close()
    with next((tmp_path / "j").glob("journal.*")).open("ab") as file:
        file.write(torn)
    journal = Journal(tmp_path / "j")
    journal.append([b"three"])
    assert read_all(journal) == [b"one", b"two", b"three"]
    journal.close()


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("reopen", [False, True])
def test_the_last_frame_is_known_where_a_segment_was_begun_and_nothing_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trim: bool, reopen: bool
) -> None:
    """It says where the source stood. Without it a source that can be read again is, from its beginning."""
    def no_room(*_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    journal = Journal(tmp_path / "j", 20)
    journal.append([b"x" * 30])
    (end,) = journal.append([b"z" * 30])
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(JournalFull):
            journal.append([b"no room"])
    if reopen:
        journal.close()
        journal = Journal(tmp_path / "j", 20)
    if trim:
        journal.trim(end)
    journal.close()
    journal = Journal(tmp_path / "j", 20)
    assert journal.last == b"z" * 30
    assert journal.first == (end if trim else 0)
    journal.append([b"next"])
    assert read_all(journal, end) == [b"next"]
    journal.close()


def test_a_segment_that_is_cut_or_gone_is_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", 10)
    ends = [journal.append([b"x" * 20])[0] for _ in range(3)]
    journal.close()
    (tmp_path / "j" / f"journal.{ends[0]:020d}").unlink()
    with pytest.raises(SourceDamaged, match="instead of"):
        Journal(tmp_path / "j")


def test_two_processes_do_not_write_to_one_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    if (pid := os.fork()) == 0:
        try:
            Journal(tmp_path / "j")
        except ps.Unavailable:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    journal.close()


class Feed(Source[Any]):
    """What was read from it is gone: a socket."""

    def __init__(self, batches: list[Any]) -> None:
        self.left = list(batches)
        self.acknowledged = 0
        self.opened_at: list[Position | None] = []

    @property
    def replayable(self) -> bool:
        return False

    def open(self, split: Any, position: Position | None, context: ps.Context) -> Reader[Any]:
        self.opened_at.append(position)
        return FeedReader(self)


class FeedReader(Reader[Any]):
    repeatable = False

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.given = 0

    def read(self) -> Any:
        if not self.feed.left:
            raise EndOfSplit
        self.given += 1
        return self.feed.left.pop(0)

    def position(self) -> Position:
        return self.given

    def acknowledge(self, position: Position) -> None:
        self.feed.acknowledged = position


def context(*, checkpointed: bool = True) -> ps.Context:
    return ps.Context(
        pipeline="p", stage="feed", slot=0, workers=1, attempt=1, hooks=Hooks(checkpointed=checkpointed)
    )


BATCHES: list[Any] = [
    [1, 2], Lines(b"a\nb\n", 1), [{"x": 1}], WithRejected(["fine", ""], {1: Rejected("bad", "it is bad")}),
]


def given_by(reader: Reader[Any]) -> list[tuple[Any, Position]]:
    found = []
    while True:
        try:
            batch = reader.read()
        except EndOfSplit:
            return found
        assert batch is not None
        found.append((batch, reader.position()))


def opened(source: Journaled, position: Position | None = None, *, checkpointed: bool = True) -> Reader[Any]:
    return source.open(source.splits()["all"], position, context(checkpointed=checkpointed))


def test_rows_that_a_source_gave_once_are_given_again_from_each_position(tmp_path: Path) -> None:
    feed = Feed(BATCHES)
    source = Journaled(feed, tmp_path / "j")
    reader = opened(source)
    assert reader.repeatable
    first = given_by(reader)
    assert [batch for batch, _ in first] == BATCHES
    assert feed.acknowledged == len(BATCHES)  # the journal has them: whoever waits outside is told
    reader.close()
    for count in range(len(BATCHES) + 1):
        reader = opened(source, first[count - 1][1] if count else None)
        assert given_by(reader) == first[count:]
        reader.close()
    assert feed.opened_at == [None, *[len(BATCHES)] * 5]


def test_what_a_checkpoint_covers_is_not_given_again_and_without_a_store_all_of_it_is(tmp_path: Path) -> None:
    for checkpointed in (True, False):
        source = Journaled(Feed(BATCHES), tmp_path / f"j{checkpointed}")
        reader = opened(source, checkpointed=checkpointed)
        first = given_by(reader)
        reader.acknowledge(first[1][1])
        reader.close()
        reader = opened(source, checkpointed=checkpointed)
        assert given_by(reader) == (first[2:] if checkpointed else first)
        reader.close()
        source.finished("feed")
        reader = opened(source, checkpointed=checkpointed)
        assert given_by(reader) == []
        reader.close()


def test_rows_wait_for_room_on_a_full_disk_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = [True]
    append = Journal.append

    def may_be_full(self: Journal, bodies: list[bytes]) -> list[int]:
        if full[0]:
            raise JournalFull("no space left")
        return append(self, bodies)

    monkeypatch.setattr(Journal, "append", may_be_full)
    feed = Feed(BATCHES)
    reader = opened(Journaled(feed, tmp_path / "j"))
    for _ in range(3):
        assert reader.read() is None
    assert feed.acknowledged == 0
    full[0] = False
    assert [batch for batch, _ in given_by(reader)] == BATCHES
    reader.close()


def test_a_journal_that_lacks_the_rows_of_a_position_says_so(tmp_path: Path) -> None:
    source = Journaled(Feed(BATCHES), tmp_path / "j")
    reader = opened(source)
    given_by(reader)
    end = reader.position()
    reader.close()
    with pytest.raises(SourceDamaged, match="are wanted, and it has those from"):
        opened(source, end + 1)


@pytest.mark.parametrize("below", ["", "a", "a/b"])
def test_a_place_below_a_file_is_a_mistake_before_the_run(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    (said,) = Journaled(Feed([]), tmp_path / "file" / below).check_source()
    assert f"{tmp_path / 'file'}" in said and "is a file; name a folder" in said
    assert Journaled(Feed([]), tmp_path / "new" / below).check_source() == []
