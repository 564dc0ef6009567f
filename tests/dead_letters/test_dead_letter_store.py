"""The dead-letter store: the writer's commit protocol, and what a reader gives back."""

from __future__ import annotations

import dataclasses
import os
import sys
import types
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import error_text
from penstock.dead_letter_frames import DeadLetterRecord, encode_frame
from penstock.dead_letter_record import new_record
from penstock.dead_letter_store import Newest, letters_file, letters_folder, read_file, read_records
from penstock.dead_letters import DeadLetter, read_dead_letters
from penstock.errors import PenstockError
from penstock.slot.process import user_errors
from penstock.slot.records.dead_letter_file import DeadLetterFile
from penstock.state_dir import default_state_dir, resolve_state_dir


class Order(msgspec.Struct):
    number: int


def letter(row: Any = None, *, time_s: float = 0.0, error: str = "ValueError: no") -> DeadLetterRecord:
    return new_record(
        pipeline="clicks", stage="parse", slot=0, operator="map(parse) clicks.py:14", time_s=time_s, attempts=1,
        error=error, traceback="Traceback ...", row=row,
    )


def rows_at(path: Path) -> list[str]:
    return [record.row_repr for record in read_file(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return letters_file(letters_folder(tmp_path, "clicks", "run1"), "parse", 0)


def test_a_letter_is_read_back_whole(path: Path, tmp_path: Path) -> None:
    file = DeadLetterFile(path)
    given_id = file.append(letter(Order(5), time_s=12.5))
    file.flush()
    file.close()
    assert list(read_dead_letters("clicks", state_dir=tmp_path)) == [
        DeadLetter(
            "run1-parse.0-1", "clicks", "parse", 0, "map(parse) clicks.py:14", 12.5, 1, "ValueError: no",
            "Traceback ...", Order(5),
        )
    ]
    assert given_id == "run1-parse.0-1"


def test_no_file_is_made_before_a_letter_comes(path: Path) -> None:
    file = DeadLetterFile(path)
    assert file.flush() == [0]
    file.close()
    assert not path.parent.exists()


def test_the_store_is_its_owners_alone(path: Path) -> None:
    file = DeadLetterFile(path)
    file.append(letter())
    file.flush()
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    file.close()


@given(turns=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["commit", "die"])), max_size=12))
def test_letters_are_kept_exactly_once_whenever_the_writer_dies(
    turns: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = letters_file(letters_folder(tmp_path_factory.mktemp("store"), "p", "r"), "s", 1)
    committed, length, number = [], [0], 0
    file = DeadLetterFile(path)
    for letters, ending in turns:
        written = [str(number + index) for index in range(letters)]
        number += letters
        ids = [file.append(letter(int(text))) for text in written]
        flushed = file.flush()
        if ending == "commit":
            length = flushed
            committed += list(zip(ids, written, strict=True))
        else:  # killed before the journal's flip
            file.close()
            file = DeadLetterFile(path, length)
    file.close()
    DeadLetterFile(path, length).close()
    found = [(record.id, record.row_repr) for record in read_file(path)] if path.exists() else []
    assert found == committed
    assert [found_id for found_id, _ in found] == [f"r-s.1-{n + 1}" for n in range(len(found))]


def test_a_store_that_somebody_emptied_starts_over(path: Path) -> None:
    file = DeadLetterFile(path)
    file.append(letter("old"))
    length = file.flush()
    file.close()
    path.unlink()
    file = DeadLetterFile(path, length)
    file.append(letter("new"))
    file.flush()
    file.close()
    assert rows_at(path) == ["'new'"]


@given(cut=st.integers(0, 2000))
def test_an_unfinished_frame_is_not_there_yet(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("store") / "x.dl"
    frames = [encode_frame(letter("x" * size)) for size in (1, 100, 0)]
    path.write_bytes(b"".join(frames)[:cut])
    whole = sum(cut >= sum(map(len, frames[: index + 1])) for index in range(3))
    assert len(list(read_file(path))) == whole


def test_frames_larger_than_a_block_are_read(path: Path) -> None:
    path.parent.mkdir(parents=True)
    rows = ["a" * 300_000, "b", "c" * 70_000]
    path.write_bytes(b"".join(encode_frame(letter(row)) for row in rows))
    assert [len(record.row) > len(row) for record, row in zip(read_file(path), rows, strict=True)] == [True] * 3


def test_a_damaged_frame_is_a_named_error(path: Path) -> None:
    path.parent.mkdir(parents=True)
    frames = [encode_frame(letter(n)) for n in range(3)]
    data = bytearray(b"".join(frames))
    data[len(frames[0]) + 30] ^= 1
    path.write_bytes(data)
    records = read_file(path)
    assert next(records).row_repr == "0"
    with pytest.raises(PenstockError, match=f"letter at byte {len(frames[0])} is damaged"):
        next(records)


def test_letters_of_all_runs_and_slots_come_in_the_order_of_time(tmp_path: Path) -> None:
    for run, group, times in [("r1", "a", [1, 4, 9]), ("r2", "a", [2, 3]), ("r1", "b", [5]), ("r3", "b", [0, 10])]:
        file = DeadLetterFile(letters_file(letters_folder(tmp_path, "clicks", run), group, 0))
        for time_s in times:
            file.append(letter(time_s=time_s))
        file.flush()
        file.close()
    assert [found.time_s for found in read_dead_letters("clicks", state_dir=tmp_path)] == [0, 1, 2, 3, 4, 5, 9, 10]


def test_a_pipeline_without_letters_gives_none(tmp_path: Path) -> None:
    assert list(read_dead_letters("clicks", state_dir=tmp_path)) == []


class Gone:
    def __repr__(self) -> str:
        return "<a row of code that is gone>"


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("broken")

    def __reduce__(self) -> Any:
        raise RuntimeError("broken")


def test_a_row_whose_class_no_longer_exists_is_given_as_text(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = DeadLetterFile(path)
    file.append(letter(Gone()))
    file.flush()
    file.close()
    monkeypatch.delitem(globals(), "Gone")
    assert [found.row for found in read_dead_letters("clicks", state_dir=tmp_path)] == ["<a row of code that is gone>"]


def make_lambda() -> Callable[[], None]:
    return lambda: None


@pytest.mark.parametrize(
    ("row", "json"),
    [
        (Order(5), '{"number":5}'),
        ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'),
        ("line", '"line"'),
        ({"when": Gone}, None),
        (Silent(), '"<Silent, whose repr raises RuntimeError>"'),
        (make_lambda(), None),
        ("\ud800", '"\'\\\\ud800\'"'),
        ({1: {(2, 3): 4}}, None),
        (2**70, "1180591620717411303424"),
    ],
)
def test_any_row_can_be_kept(row: Any, json: str | None, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_frame(letter(row, error="bad \ud800")))
    [record] = read_file(path)
    msgspec.json.decode(record.row_json)
    assert json is None or record.row_json == json


def test_a_long_row_is_shown_shortened_and_kept_whole(path: Path) -> None:
    record = letter("x" * 5000)
    assert record.row_repr.endswith("… (5,002 characters)") and len(record.row_repr) < 1100
    assert len(record.row) > 5000


def test_the_value_cannot_be_changed() -> None:
    value = DeadLetter("i", "p", "s", 0, "o", 0.0, 1, "e", "t", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.row = 1  # type: ignore[misc]


def test_the_state_directory_follows_the_xdg_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_dir() == tmp_path / "penstock"
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", unusable)
        assert default_state_dir() == Path.home() / ".local/state/penstock"
    monkeypatch.chdir(tmp_path)
    assert resolve_state_dir("here") == tmp_path / "here"


def test_a_letter_whose_class_cannot_be_imported_says_that_its_row_is_only_text(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("gone_since")
    exec("class Gone:\n    def __repr__(self): return 'Gone()'", vars(module))
    monkeypatch.setitem(sys.modules, "gone_since", module)
    file = DeadLetterFile(path)
    file.append(letter(module.Gone()))
    file.append(letter("Gone()"))
    file.append(letter(lambda: None))
    file.flush()
    file.close()
    monkeypatch.delitem(sys.modules, "gone_since")
    gone, text, function = read_dead_letters("clicks", state_dir=tmp_path)
    assert (gone.row, text.row) == ("Gone()", "Gone()")
    assert "gone_since" in gone.row_problem and gone.row_pickle
    assert (text.row_problem, text.row_pickle) == ("", b"")
    assert function.row_problem and not function.row_pickle


@given(
    files=st.lists(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 200_000)), max_size=8), max_size=3),
    cut=st.integers(0, 50),
)
def test_the_newest_come_first_with_all_counted_as_if_all_had_been_read(
    files: list[list[tuple[str, int]]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Read from the ends of files; one that ends in the middle of a letter is read from its beginning."""
    state, time_s = tmp_path_factory.mktemp("store"), 0.0
    for number, letters in enumerate(files):
        path = letters_file(letters_folder(state, "clicks", "r"), f"group{number}", 0)
        file = DeadLetterFile(path)
        for stage, size in letters:
            time_s += 1
            file.append(msgspec.structs.replace(letter("x" * size, time_s=time_s), stage=stage))
        file.flush()
        file.close()
        if letters and cut and number == 0:
            with path.open("r+b") as opened:
                opened.truncate(path.stat().st_size - cut)
    everything = [record.id for record in read_records("clicks", state_dir=state)]
    newest = Newest("clicks", state_dir=state)
    assert [frame.summary.id for frame in newest.frames()] == everything[::-1]
    assert newest.by_stage == Counter(record.stage for record in read_records("clicks", state_dir=state))


def test_listing_reads_no_row_and_no_letter_that_it_does_not_show(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = DeadLetterFile(path)
    for number in range(300):
        file.append(letter("x" * 100_000, time_s=float(number)))
    file.flush()
    file.close()
    read = 0
    plain = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        nonlocal read
        data = plain(fd, length, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    newest = Newest("clicks", state_dir=tmp_path)
    shown = list(islice(newest.frames(), 20))
    assert [frame.summary.time_s for frame in shown] == [float(n) for n in range(299, 279, -1)]
    assert newest.by_stage == {"parse": 300}
    assert read < 20 * 3 * 64 * 1024 + 100_000, "of 60 MB"


@given(st.text(max_size=60), st.integers(50, 100))
def test_a_text_that_is_cut_is_as_long_as_it_may_be_and_says_so(text: str, most: int) -> None:
    for long in (text, text * 100):
        short = error_text.cut(long, most)
        if len(long) <= most:
            assert short == long
        else:
            assert len(short) <= max(most, most // 4 + 60) and f"{len(long):,} characters" in short


class Boundless(Exception):
    def __str__(self) -> str:
        return "no " * 20_000_000


def test_an_error_of_any_length_is_kept_up_to_a_bound_and_its_row_whole(path: Path) -> None:
    try:
        try:
            raise Boundless
        except Boundless as first:
            raise Boundless from first
    except Boundless as error:
        told, shown = user_errors.one_line(error), user_errors.user_traceback(error)
    assert len(told) <= error_text.ERROR_CHARACTERS and "Boundless: no no no" in told[:100]
    assert "[cut: this text has 60,000" in told
    assert len(shown) <= error_text.TRACEBACK_CHARACTERS and shown.count("raise Boundless") == 2
    path.parent.mkdir(parents=True)
    row = "r" * 3_000_000
    frame = encode_frame(letter(row, error="no " * 20_000_000))
    path.write_bytes(frame)
    [record] = read_file(path)
    assert len(frame) - 2 * len(row) < 20_000 and record.row_json == f'"{row}"' and "[cut: this" in record.error
