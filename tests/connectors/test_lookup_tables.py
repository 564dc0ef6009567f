"""Lookups in databases: each row with what the table has for its key, one question for many, waits for what is down."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb as duck
import msgspec
import pytest

import penstock as ps
from penstock import testing
from penstock.connectors import duckdb, postgres, sqlite
from penstock.lookup_table import LookupTable, TableReader
from penstock.operator import Context, Unavailable
from penstock.operators.looked_up.table_lookup import TableLookup
from penstock.slot.process.user_errors import same_error

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)
KINDS = ("sqlite", "duckdb", "postgres")


class User(msgspec.Struct):
    id: int
    name: str


class Visit(msgspec.Struct):
    user: int
    url: str


class Place:
    """A database of one kind, with a table `users`."""

    def __init__(self, kind: str, folder: Path, pg: Any) -> None:
        self.kind = kind
        self.path = folder / f"shop.{kind}"
        self._pg = pg
        self.execute("CREATE TABLE users (id BIGINT, name VARCHAR(20))")
        self.execute("INSERT INTO users VALUES (1, 'ann'), (2, 'bob'), (4, 'eve'), (4, 'eva')")

    def execute(self, sql: str) -> None:
        if self.kind == "postgres":
            self._pg.query(sql)
        elif self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.path)) as connection:
                connection.execute(sql)
                connection.commit()
        else:
            duck.connect(str(self.path)).execute(sql).close()

    def table(self, *args: Any, **options: Any) -> Any:
        if self.kind == "postgres":
            return postgres.lookup_table(self._pg.dsn, *args, **options)
        return {"sqlite": sqlite, "duckdb": duckdb}[self.kind].lookup_table(self.path, *args, **options)  # type: ignore[attr-defined]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    pg = request.getfixturevalue("pg") if request.param == "postgres" else None
    return Place(request.param, tmp_path, pg)


VISITS = [Visit(user, f"/{number}") for number, user in enumerate((1, 3, 2, 1, 2, 7))]


def app_of(table: Any, **options: Any) -> ps.Pipeline:
    app = ps.Pipeline("lookups")
    visits = app.source(VISITS, name="visits").stage("users")
    visits.lookup(table, **{"on": "id", "key": "user", **options}).sink(print, name="out")
    return app


@pytest.mark.parametrize("how", ["inner", "left"])
def test_each_row_comes_with_what_the_table_has_for_its_key(place: Place, how: Any) -> None:
    found = testing.run(app_of(place.table("users", type=User), how=how), {"visits": VISITS}).outputs["out"]
    names = {1: User(1, "ann"), 2: User(2, "bob")}
    pairs = [(visit, names.get(visit.user)) for visit in VISITS]
    assert found == [pair for pair in pairs if how == "left" or pair[1]]


def test_a_query_may_say_what_is_looked_up(place: Place) -> None:
    table = place.table(query="SELECT id, upper(name) || '%' AS name FROM users WHERE id < 2;")
    found = testing.run(app_of(table), {"visits": VISITS}).outputs["out"]
    assert [(visit.url, row) for visit, row in found] == [
        ("/0", {"id": 1, "name": "ANN%"}), ("/3", {"id": 1, "name": "ANN%"}),
    ]


def test_workers_of_their_own_ask(place: Place, tmp_path: Path) -> None:
    outcome = testing.run(app_of(place.table("users", type=User)), {"visits": VISITS}, processes=True)
    assert sorted(visit.url for visit, _ in outcome.outputs["out"]) == ["/0", "/2", "/3", "/4"]


def test_a_key_with_two_rows_and_one_of_another_kind_fail_alone(place: Place) -> None:
    rows: list[Any] = [Visit(1, "/"), Visit(4, "/"), {"user": "x"}, {"user": None}, {"usr": 2}, Visit(2, "/")]
    app = ps.Pipeline("lookups")
    app.source(rows, name="visits").stage("users").lookup(
        place.table("users", type=User), on="id", key="user", how="left"
    ).sink(print, name="out")
    outcome = testing.run(app, {"visits": rows})
    given = [(pair[0], None if pair[1] is None else pair[1].name) for pair in outcome.outputs["out"]]
    wrong = [] if place.kind == "sqlite" else [{"user": "x"}]  # to SQLite it is a value as any other
    assert given == [
        (row, name) for row, name in zip(rows, ("ann", "", None, None, "", "bob"))
        if name != "" and row not in wrong
    ]
    errors = {str(letter.row): letter.error for letter in outcome.dead_letters}
    assert "has 2 rows with the key 4" in errors[str(rows[1])]
    if wrong:
        assert "cannot be asked by id for the key 'x'" in errors[str(wrong[0])]
    assert set(errors) == {str(row) for row in (rows[1], *wrong, rows[4])}
    assert all(letter.operator.startswith("lookup(table users of ") for letter in outcome.dead_letters)


def test_a_table_that_is_not_there_is_an_error_that_no_restart_is_tried_for(place: Place) -> None:
    for table in (place.table("userz"), place.table(query="SELECT id FROM userz"), place.table(query="SELEC id")):
        with pytest.raises(Exception, match=r"userz|SELEC|syntax") as raised:
            table.open("id", CONTEXT)
        assert same_error("opening", raised.value)
        if place.kind == "sqlite":
            assert f"{table.target} cannot be asked: " in str(raised.value)


def test_a_table_without_such_a_column_says_so_when_the_worker_begins(place: Place) -> None:
    with pytest.raises(ps.PenstockError, match="has no column 'idd'; it has: id, name"):
        place.table("users").open("idd", CONTEXT)


def test_what_cannot_be_a_table_is_told_with_its_line(place: Place, tmp_path: Path) -> None:
    def told(app: ps.Pipeline) -> str:
        return "\n".join(map(str, app.check()))

    assert "it takes a table or query=" in told(app_of(place.table()))
    assert "it takes a table or query=" in told(app_of(place.table("users", query="SELECT 1")))
    assert "on: User has no field 'idd'" in told(app_of(place.table("users", type=User), on="idd"))
    assert "a database is asked by a column" in told(app_of(place.table("users"), on=len))
    assert "reload has no effect" in told(app_of(place.table("users"), reload="1s"))
    assert "max_age: 'soon' is not a duration" in told(app_of(place.table("users", max_age="soon")))
    assert "cache_keys=-1 is not a number of keys" in told(app_of(place.table("users", cache_keys=-1)))
    if place.kind != "postgres":
        place.path.unlink()
        assert "does not exist; create it, or name another file" in told(app_of(place.table("users")))


def test_a_committed_change_is_seen_by_the_next_question(place: Place) -> None:
    reader = place.table("users", type=User).open("id", CONTEXT)
    assert reader.find([1, 9]) == [[User(1, "ann")], []]
    place.execute("UPDATE users SET name = 'eva' WHERE id = 1")
    assert reader.find([9, 1]) == [[], [User(1, "eva")]]
    reader.close()


def test_many_keys_are_asked_for_at_once(place: Place) -> None:
    reader = place.table("users", type=User).open("id", CONTEXT)
    found = reader.find([*range(1000, 1999), 2])
    assert [rows for rows in found if rows] == [[User(2, "bob")]] and found[-1] == [User(2, "bob")]
    reader.close()


# The cache, over a table that counts.

class Numbers(LookupTable[int]):
    """Even numbers have rows."""

    def __init__(self, **options: Any) -> None:
        self.asked: list[list[int]] = []
        self.down = 0
        vars(self).update(options)

    @property
    def label(self) -> str:
        return "numbers"

    def open(self, key: str, context: Context) -> TableReader:
        return NumbersReader(self)


class NumbersReader(TableReader):
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def find(self, keys: Sequence[Any]) -> Sequence[Sequence[Any]]:
        self._numbers.asked.append(list(keys))
        return [[key] if key % 2 == 0 else [] for key in keys]


def asking(numbers: Numbers) -> Any:
    made: Any = TableLookup(None, "f.py:1", key=int, on="id", how="left", table=numbers).function()
    made.open(CONTEXT)
    return made


def test_what_is_known_is_not_asked_for_again_and_neither_is_what_is_not_there() -> None:
    numbers = Numbers()
    call = asking(numbers)
    assert call([1, 2, 1, 2, 4]) == [(1, None), (2, 2), (1, None), (2, 2), (4, 4)]
    assert call([2, 1, 6]) == [(2, 2), (1, None), (6, 6)]
    assert numbers.asked == [[1, 2, 4], [6]]


def test_the_cache_is_bounded_and_keeps_what_was_asked_for_last() -> None:
    numbers = Numbers(cache_keys=2)
    call = asking(numbers)
    for rows in ([2], [4], [2], [6], [2], [4]):
        call(rows)
    assert numbers.asked == [[2], [4], [6], [4]]
    assert len(call([8, 10, 12, 14])) == 4


def test_what_is_too_old_is_asked_for_again() -> None:
    numbers = Numbers(max_age="10s")
    call, now = asking(numbers), [0.0]
    call._cache._clock = lambda: now[0]
    for now[0], again in ((0.0, True), (9.9, False), (10.0, True), (19.9, False)):
        before = len(numbers.asked)
        call([2])
        assert (len(numbers.asked) > before) == again, now


def test_a_thousand_keys_are_one_question_at_most() -> None:
    numbers = Numbers(cache_keys=0)
    asking(numbers)(range(2500))
    assert list(map(len, numbers.asked)) == [1000, 1000, 500]


# Databases that are down.

def test_the_worker_waits_while_the_file_is_held_and_no_row_fails(tmp_path: Path) -> None:
    """DuckDB lets nobody read while one writes."""
    place = Place("duckdb", tmp_path, None)
    app = app_of(place.table("users", type=User))
    holder = duck.connect(str(place.path))
    freed = threading.Event()
    with app.start(run_dir=tmp_path / "run") as handle:
        _wait_until(lambda: "another process has" in str(handle.status().to_json()))
        holder.close()
        freed.set()
        report = handle.wait(timeout="120s")
    assert report.dead_letters == 0 and report.stages["users"].rows_out == 4


class Away(LookupTable[dict[str, int]]):
    """Down for the second question, until there is a worker that has not met that."""

    def __init__(self, note: Path) -> None:
        self.note = note

    @property
    def label(self) -> str:
        return "away"

    def open(self, key: str, context: Context) -> TableReader:
        return AwayReader(self.note)


class AwayReader(TableReader):
    def __init__(self, note: Path) -> None:
        self._note = note
        self._asked = 0

    def find(self, keys: Sequence[Any]) -> Sequence[Sequence[Any]]:
        self._asked += 1
        if self._asked == 2 and not self._note.exists():
            self._note.touch()
            raise Unavailable("out to lunch", retry_after="100ms")
        return [[{"id": key}] for key in keys]


def test_no_row_fails_and_none_is_lost_when_a_table_goes_away_in_the_middle(tmp_path: Path) -> None:
    app = ps.Pipeline("lookups")
    numbers = app.source(range(20_000), name="numbers").stage("find")
    found = numbers.lookup(Away(tmp_path / "note"), on="id", key=int)
    with found.results(run_dir=tmp_path / "run") as results:
        assert [(row, match["id"]) for row, match in results] == [(n, n) for n in range(20_000)]
        report = results.report
    assert (tmp_path / "note").exists()
    assert report is not None and report.dead_letters == 0 and report.stages["find"].retries == 0


def test_rows_in_progress_wait_for_a_database_that_goes_away(tmp_path: Path, pg: Any, server: Any) -> None:
    place = Place("postgres", tmp_path, pg)
    table = place.table("users", type=User, cache_keys=0)
    reader = table.open("id", CONTEXT)
    assert reader.find([1]) == [[User(1, "ann")]]
    pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'penstock p/%'")
    with pytest.raises(Unavailable):
        reader.find([1])


def _wait_until(holds: Any) -> None:
    deadline = threading.Event()
    for _ in range(1200):
        if holds():
            return
        deadline.wait(0.1)
    raise AssertionError("it did not come to pass within two minutes")
