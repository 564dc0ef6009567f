"""Lookups in tables that are loaded whole: lists, files of every kind, and files that change."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verb_places import check_everywhere

import penstock as ps
from penstock import testing
from penstock.connectors import files
from penstock.connectors.files.csv_files import CsvFiles
from penstock.endpoints import as_source
from penstock.operator import Context
from penstock.operators.looked_up.lookup import LeftLookup, Lookup
from penstock.slot.process.stops import StageFailed


class User(msgspec.Struct):
    id: int
    name: str


class Visit(msgspec.Struct):
    user: int
    url: str


VISITS = [Visit(1, "/a"), Visit(3, "/b"), Visit(2, "/c"), Visit(1, "/d")]
USERS = [User(1, "ann"), User(2, "bob")]
CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


def lookup(table: Any, how: Any = "inner", **options: Any) -> Lookup:
    kind = LeftLookup if how == "left" else Lookup
    return kind(None, "f.py:1", "user", "id", how, as_source(table), **options)


@settings(max_examples=30)
@given(
    ids=st.lists(st.integers(0, 9), unique=True), users=st.lists(st.integers(0, 12), max_size=8),
    how=st.sampled_from(["inner", "left"]),
)
def test_each_row_comes_with_the_row_of_its_key(ids: list[int], users: list[int], how: str) -> None:
    table = {number: User(number, str(number)) for number in ids}

    def meaning(visit: Visit) -> list[tuple[Visit, User | None]]:
        found = table.get(visit.user)
        return [] if found is None and how == "inner" else [(visit, found)]

    check_everywhere(lookup(list(table.values()), how), [Visit(user, "/") for user in users], meaning)


def written(kind: str, folder: Path) -> Any:
    """A source of `USERS`."""
    path = folder / f"users.{kind}"
    match kind:
        case "csv":
            path.write_text("id,name\n1,ann\n2,bob\n")
            return files.csv(path, User)
        case "jsonl":
            path.write_bytes(b"".join(msgspec.json.encode(user) + b"\n" for user in USERS))
            return files.json_lines(path, User)
        case "parquet":
            pq.write_table(pa.table({"id": [1, 2], "name": ["ann", "bob"]}), path)
            return files.parquet(path, User)
        case "list":
            return USERS
        case _:
            return lambda: iter(USERS)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "list", "function"])
def test_a_table_may_be_whatever_can_be_read_to_its_end(kind: str, tmp_path: Path) -> None:
    app = ps.Pipeline("lookups")
    visits = app.source(VISITS, name="visits").stage("users")
    visits.lookup(written(kind, tmp_path), on="id", key="user", how="left").sink(print, name="out")
    found = testing.run(app, {"visits": VISITS}).outputs["out"]
    assert found == [(VISITS[0], USERS[0]), (VISITS[1], None), (VISITS[2], USERS[1]), (VISITS[3], USERS[0])]


def test_workers_of_their_own_look_up_in_files(tmp_path: Path) -> None:
    app = ps.Pipeline("lookups")
    visits = app.source(VISITS, name="visits").stage("users", workers=2)
    pairs = visits.lookup(written("csv", tmp_path), on="id", key="user")
    with pairs.results(run_dir=tmp_path / "run") as results:
        found = sorted((visit.url, user.name) for visit, user in results)
    assert found == [("/a", "ann"), ("/c", "bob"), ("/d", "ann")]


def test_the_key_of_a_keyed_stream_need_not_be_said_again(tmp_path: Path) -> None:
    app = ps.Pipeline("lookups")
    keyed = app.source(VISITS, name="visits").stage("users", workers=2).key_by("user")
    keyed.lookup(written("csv", tmp_path), on="id").sink(print, name="out")
    found = testing.run(app, {"visits": VISITS}).outputs["out"]
    assert sorted((visit.url, user.name) for visit, user in found) == [("/a", "ann"), ("/c", "bob"), ("/d", "ann")]


def test_a_row_whose_key_cannot_be_read_is_a_dead_letter_that_names_the_lookup() -> None:
    app = ps.Pipeline("lookups")
    rows: list[Any] = [{"user": 1}, {"usr": 2}, {"user": []}]
    visits = app.source(rows, name="visits").stage("users")
    visits.lookup(USERS, on="id", key="user").sink(print, name="out")
    outcome = testing.run(app, {"visits": rows})
    assert outcome.outputs["out"] == [({"user": 1}, USERS[0])]
    assert [letter.row for letter in outcome.dead_letters] == rows[1:]
    assert all(letter.operator.startswith("lookup(2 items, on='id')") for letter in outcome.dead_letters)


Table = Callable[[Path], Any]
MISTAKES: dict[str, tuple[Table, dict[str, Any], str]] = {
    "a path": (lambda folder: "users.csv", {}, "that is no table; pass a source such as files.csv"),
    "no such file": (lambda folder: files.csv(folder / "no.csv", User), {}, "lookup: csv: "),
    "no such field": (lambda folder: USERS, {"on": "idd"}, "on: User has no field 'idd'; did you mean 'id'?"),
    "no such key": (lambda folder: USERS, {"key": "usr"}, "key: Visit has no field 'usr'; did you mean 'user'?"),
    "two types": (lambda folder: USERS, {"on": "name"}, "keys of the rows are int, those of the table str"),
    "of text": (lambda folder: written_untyped(folder), {}, "keys of the rows are int, those of the table str"),
    "how": (lambda folder: USERS, {"how": "outer"}, "how='outer' is none of 'inner', 'left'"),
    "reload": (lambda folder: USERS, {"reload": "soon"}, "reload: 'soon' is not a duration"),
    "endless": (lambda folder: files.lines(folder, follow=True), {"on": len}, "never ends, so it cannot be loaded"),
    "no key": (lambda folder: USERS, {"on": lambda user: user.id, "key": None}, "the key of the rows is not known"),
}


def written_untyped(folder: Path) -> Any:
    (folder / "users.csv").write_text("id,name\n1,ann\n")
    return files.csv(folder / "users.csv")


@pytest.mark.parametrize("case", MISTAKES)
def test_a_lookup_that_cannot_be_is_told_with_its_line(case: str, tmp_path: Path) -> None:
    table, options, what = MISTAKES[case]
    app = ps.Pipeline("lookups")
    visits = app.source(VISITS, name="visits").stage("users")
    visits.lookup(table(tmp_path), **{"on": "id", "key": "user", **options}).sink(print, name="out")
    told = [str(one) for one in app.check() if what in str(one)]
    assert told and all(Path(__file__).name in one for one in told), app.check()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id,name\n1,ann\n1,eve\n", "users.csv: two of its rows have the key 1 by 'id'"),
        ("id,name\n1,ann\nx,eve\n", "users.csv: .* is no row of it"),
        ("id,name\n1,ann\n2\n", "users.csv: it has what is no row: .*line 3: it has 1 fields, expected 2"),
    ],
)
def test_a_table_that_is_not_right_is_an_error_that_names_it(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text(text)
    with pytest.raises(ps.PenstockError, match=what):
        lookup(files.csv(tmp_path / "users.csv", User)).function().open(CONTEXT)  # type: ignore[attr-defined]


# Files that change.

class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def reloaded(path: Path) -> tuple[Any, Clock]:
    clock = Clock()
    call: Any = lookup(files.csv(path, User), "left", reload="10s").function()
    call._clock = clock
    call.open(CONTEXT)
    return call, clock


def replace(path: Path, text: str) -> None:
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


def test_a_file_that_was_replaced_is_loaded_again_once_it_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id,name\n1,ann\n")
    call, clock = reloaded(path)
    replace(path, "id,name\n1,eva\n")
    clock.now = 9.9
    assert call(VISITS[0])[1] == User(1, "ann")
    clock.now = 10.0
    assert call(VISITS[0])[1] == User(1, "eva")


def test_a_file_that_is_the_same_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id,name\n1,ann\n")
    call, clock = reloaded(path)
    monkeypatch.setattr(CsvFiles, "open", None)
    clock.now = 100.0
    assert call(VISITS[0])[1] == User(1, "ann")


def test_a_file_that_is_broken_for_a_while_leaves_the_table_as_it_was_and_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id,name\n1,ann\n")
    call, clock = reloaded(path)
    for clock.now, text in ((10.0, "id,name\n1\n"), (20.0, None), (30.0, "id,name\n1,eva\n")):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with caplog.at_level(logging.WARNING):
            found = call(VISITS[0])[1]
        assert found == User(1, "eva" if clock.now == 30.0 else "ann")
    assert sum("cannot be read again, and stays as it was" in record.getMessage() for record in caplog.records) == 2


def test_a_table_that_cannot_be_loaded_when_the_worker_begins_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,name\n1,ann\n1,eve\n")
    app = ps.Pipeline("lookups")
    visits = app.source(VISITS, name="visits").stage("users")
    visits.lookup(files.csv(tmp_path / "users.csv", User), on="id", key="user").sink(print, name="out")
    with pytest.raises((ps.PipelineFailed, StageFailed, ps.PenstockError), match="two of its rows have the key 1"):
        testing.run(app, {"visits": VISITS})
