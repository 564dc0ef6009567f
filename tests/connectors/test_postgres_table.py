"""The PostgreSQL sink in one process, on a real server: what is stored, what is rejected, what a fresh run does."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import pickle
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.batch import Lines
from penstock.connectors import postgres
from penstock.operator import Context
from penstock.sink import Delivery, RowsRejected, TransactionalWriter
from postgres_server import Server

Open = Callable[..., TransactionalWriter[Any]]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Visit(msgspec.Struct):
    id: str
    ms: float = 0.0
    note: str | None = None


class Everything(msgspec.Struct):
    i: int
    f: float
    s: str
    b: bytes
    at: datetime.datetime
    local: Annotated[datetime.datetime, msgspec.Meta(tz=False)]
    d: datetime.date
    t: datetime.time
    lasted: datetime.timedelta
    n: Decimal
    u: UUID
    ok: bool
    colour: Colour
    tags: list[str]
    more: dict[str, int | None]
    visit: Visit
    maybe: int | None


TYPES = (
    "bigint, double precision, text, bytea, timestamp with time zone, timestamp without time zone, date, "
    "time without time zone, interval, numeric, uuid, boolean, text, jsonb, jsonb, jsonb, bigint"
)


def context(stage: str = "store", slot: int = 0, run: str = "run-1") -> Context:
    return Context(pipeline="clicks", stage=stage, slot=slot, workers=1, attempt=1, run_id=run)


@pytest.fixture
def opened(pg: Any) -> Iterator[Open]:
    writers: list[TransactionalWriter[Any]] = []

    def open_writer(table: str = "visits", kind: Any = None, slot: int = 0, run: str = "run-1", **options: Any) -> Any:
        sink = postgres.table(pg.dsn, table, kind, if_exists="append", **options)
        sink.refuse()
        sink.prepare()
        writer = sink.writer(None, context(slot=slot, run=run))
        writers.append(writer)  # type: ignore[arg-type]
        return writer

    yield open_writer
    for writer in writers:
        writer.close()


def rejected(writer: TransactionalWriter[Any]) -> dict[int, str]:
    with pytest.raises(RowsRejected) as caught:
        writer.commit(b"refused")
    return caught.value.reasons


def column_types(pg: Any, table: str) -> str:
    found = pg.query(
        "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0", table,
    )
    return str(found[0][0])


def test_the_sink_is_a_picklable_description_without_its_password() -> None:
    sink = postgres.table("postgresql://ann:hunter2@db:6432/shop", "Page Views", key=["a", "b"])
    assert sink.label == "postgres-page_views"
    assert sink.delivery is Delivery.EXACTLY_ONCE
    assert sink.shared_slot is None
    assert sink.target == "table Page Views in PostgreSQL (shop on db:6432)"
    assert "hunter2" not in repr(sink) + str(sink)
    assert pickle.loads(pickle.dumps(sink)).target == sink.target


@pytest.mark.parametrize(
    ("arguments", "options", "problem"),
    [
        (("", "a.b.c"), {}, "'a.b.c' is not a table; write"),
        (("", "t" * 64), {}, "has more than 63 bytes; use a shorter one"),
        (("", "t"), {"if_exists": "replace"}, "if_exists='replace'; write"),
        (("", "t", int), {}, "has no annotated fields; pass a Struct"),
        (("", "t", Visit), {"key": "name"}, "type has no field 'name' for the key; it has: id, ms, note"),
        (("postgresql://u:hunter2@x@host/d", "t"), {}, "cannot be read; write"),
        (("host=a hunter2", "t"), {}, "cannot be read; write"),
    ],
)
def test_mistakes_are_told_in_words_before_a_run(arguments: Any, options: dict[str, Any], problem: str) -> None:
    pytest.importorskip("psycopg")
    [found] = postgres.table(*arguments, **options).check_sink()
    assert problem in found
    assert "hunter2" not in found


def test_a_schema_of_its_own_takes_the_tables_name_as_it_is(opened: Open, pg: Any) -> None:
    writer = opened('odd.na"me', schema='Sh"op.x')
    writer.write([{'co"l.1': 1, "%s": 2}])
    writer.commit(b"1")
    assert pg.query('SELECT * FROM "Sh""op.x"."odd.na""me"') == [(1, 2)]


def test_rows_and_record_appear_together_at_the_commit(opened: Open, pg: Any) -> None:
    writer = opened(kind=Visit)
    assert writer.last_record() is None
    writer.write([Visit("a", 1.5), Visit("b")])
    writer.write([Visit("c", note="\\N\t\n\\.")])
    assert pg.query("SELECT count(*) FROM visits") == [(0,)]
    writer.commit(b"\x00one")
    assert pg.query("SELECT * FROM visits") == [("a", 1.5, None), ("b", 0.0, None), ("c", 0.0, "\\N\t\n\\.")]
    assert opened(kind=Visit).last_record() == b"\x00one"


def test_a_worker_that_was_succeeded_cannot_commit(opened: Open, pg: Any) -> None:
    old, new = opened(), opened()
    old.write([{"n": 1}])
    with pytest.raises(ps.PenstockError, match="another worker has taken over"):
        old.commit(b"old")
    new.write([{"n": 2}])
    new.commit(b"new")
    assert pg.query("SELECT n FROM visits") == [(2,)]


def test_a_successor_waits_for_a_commit_that_is_on_its_way(opened: Open, pg: Any) -> None:
    """Killed after it sent COMMIT, a worker is survived by its session on the server."""
    old: Any = opened()
    old.write([{"n": 1}])
    old.commit(b"first")
    connection = old._connection
    connection.begin()
    connection.execute("INSERT INTO visits VALUES (2)")
    old._slot.store(b"second")
    found: list[Any] = []
    successor = threading.Thread(target=lambda: found.append(opened().last_record()))
    successor.start()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not pg.query(waits)[0][0]:
        assert successor.is_alive()
    connection.commit()
    successor.join()
    assert found == [b"second"]


def test_runs_and_slots_have_records_of_their_own(opened: Open) -> None:
    for slot, run in ((0, "run-1"), (1, "run-1"), (0, "run-2")):
        writer = opened(slot=slot, run=run)
        assert writer.last_record() is None
        writer.commit(f"{slot} {run}".encode())
    assert opened(slot=1, run="run-1").last_record() == b"1 run-1"


def test_records_of_runs_that_ended_long_ago_are_forgotten(opened: Open, pg: Any) -> None:
    opened(run="old").commit(b"old")
    opened(run="younger").commit(b"younger")
    pg.query("UPDATE _penstock_commits SET committed = now() - interval '31 days' WHERE run = 'old'")
    opened(run="new")
    assert sorted(pg.query("SELECT run FROM _penstock_commits")) == [("new",), ("younger",)]


def everything(**changed: Any) -> Everything:
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    row = Everything(
        -(2**63), 1e-300, "Zoë \U0001f600", b"\x00\xff", datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999, zone),
        datetime.datetime(1, 1, 1), datetime.date(9999, 12, 31), datetime.time(23, 59, 59, 1),
        datetime.timedelta(days=-3, seconds=1, microseconds=5), Decimal("-0.000000000000000000000000001"),
        UUID(int=2**127), True, Colour.BLUE, ["a", "\u2028\\"], {"x": None, "y": 1}, Visit("v"), None,
    )
    return msgspec.structs.replace(row, **changed)


def test_a_table_is_made_by_the_rows_type_and_gives_back_what_was_stored(opened: Open, pg: Any) -> None:
    writer = opened("things", Everything)
    assert column_types(pg, "things") == TYPES
    row = everything()
    writer.write([row])
    writer.commit(b"1")
    [found] = pg.query("SELECT * FROM things")
    assert list(found) == [
        row.i, row.f, row.s, row.b, row.at, row.local, row.d, row.t, row.lasted, row.n, row.u, True, "blue",
        ["a", "\u2028\\"], {"x": None, "y": 1}, {"id": "v", "ms": 0.0, "note": None}, None,
    ]
    nullable = "SELECT attname FROM pg_attribute WHERE attrelid = 'things'::regclass AND attnum > 0 AND NOT attnotnull"
    assert pg.query(nullable) == [("maybe",)]


@pytest.mark.parametrize("style", ["postgres", "sql_standard", "iso_8601"])
def test_what_is_stored_does_not_depend_on_the_settings_of_the_session(style: str, opened: Open, pg: Any) -> None:
    pg.query(f"ALTER DATABASE {pg.name} SET intervalstyle = {style}")
    pg.query(f"ALTER DATABASE {pg.name} SET datestyle = 'SQL, DMY'")
    pg.query(f"ALTER DATABASE {pg.name} SET timezone = 'Asia/Kolkata'")
    pg.query(f"ALTER DATABASE {pg.name} SET default_transaction_isolation = 'serializable'")
    pg.query(f"ALTER DATABASE {pg.name} SET standard_conforming_strings = off")
    pg.query(f"ALTER DATABASE {pg.name} SET bytea_output = 'escape'")
    row = everything(at=datetime.datetime(2024, 3, 4, 5, 6), local=datetime.datetime(2024, 3, 4, 5, 6), s="a\\b")
    writer = opened("things", Everything)
    writer.write([row])
    writer.commit(b"1")
    [found] = pg.query(
        "SELECT at AT TIME ZONE 'UTC' = '2024-03-04T05:06:00', local = '2024-03-04T05:06:00', d = '9999-12-31', "
        "extract(epoch FROM lasted)::text, s, encode(b, 'hex') FROM things"
    )
    assert found == (True, True, True, "-259198.999995", "a\\b", "00ff")


class Loose(TypedDict):
    id: int
    name: NotRequired[str]


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    left: int
    right: str | None


@pytest.mark.parametrize(
    ("kind", "row", "columns"),
    [
        (Loose, {"id": 1}, [("id", True), ("name", False)]), (Point, Point(1, 2.0), [("x", True), ("y", True)]),
        (Pair, Pair(1, None), [("left", True), ("right", False)]),
    ],
)
def test_a_table_is_made_of_every_kind_of_annotated_row(
    kind: Any, row: Any, columns: Any, opened: Open, pg: Any
) -> None:
    writer = opened("t", kind)
    writer.write([row])
    writer.commit(b"1")
    found = pg.query("SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0")
    assert found == columns
    assert pg.query("SELECT count(*) FROM t") == [(1,)]


def test_without_a_type_the_first_rows_make_the_table(opened: Open, pg: Any) -> None:
    now = datetime.datetime(2024, 1, 2, 3, 4, 5)
    writer = opened("t")
    writer.write([
        {"n": 1, "f": 1, "none": None, "big": 2**70, "naive": now, "aware": now.replace(tzinfo=datetime.UTC), "l": [1]},
        {"n": 2, "f": 1.5, "none": None, "big": 1, "naive": None, "aware": None, "l": None},
    ])
    writer.commit(b"1")
    assert column_types(pg, "t") == (
        "bigint, double precision, text, numeric, timestamp without time zone, timestamp with time zone, jsonb"
    )
    writer.write(Lines(b"one\ntwo\n", 1))
    assert set(rejected(writer)) == {0, 1}
    lines = opened("lines")
    lines.write(Lines(b"one\ntwo\n", 1))
    lines.commit(b"1")
    assert pg.query("SELECT value FROM lines") == [("one",), ("two",)]


def test_columns_are_written_as_rows_are(opened: Open, pg: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    writer = opened("t")
    table = pa.table({"n": [1, 2, None], "at": pa.array([0, None, 1], pa.timestamp("us", "UTC")), "l": [[1], [], None]})
    writer.write([{"n": 0, "at": None, "l": None}])
    writer.write(table)
    writer.commit(b"1")
    assert [row[0] for row in pg.query("SELECT n FROM t")] == [0, 1, 2, None]
    writer.write(pa.table({"n": pa.array([1, 2]), "at": pa.array([1, 1500], pa.timestamp("ns", "UTC"))}))
    assert set(rejected(writer)) == {0, 1}


@pytest.mark.parametrize("key", [None, "id"])
def test_what_a_constraint_refuses_is_found_and_the_others_go_in(key: str | None, opened: Open, pg: Any) -> None:
    pg.query("CREATE TABLE groups (g bigint PRIMARY KEY)")
    pg.query("INSERT INTO groups VALUES (0), (1), (2)")
    pg.query(
        "CREATE TABLE t (id bigint PRIMARY KEY, g bigint REFERENCES groups DEFERRABLE INITIALLY DEFERRED, "
        "name varchar(5), at inet, CHECK (id <> 77))"
    )
    writer = opened("t", key=key)
    rows = [{"id": n, "g": n % 3, "name": "x", "at": "::1"} for n in range(3_000)]
    rows[77]["name"] = "check"
    rows[100]["g"] = 5
    rows[2_000]["at"] = "no address"
    rows[2_999]["at"] = "no address"
    bad = {77: "check", 100: "foreign key", 2_000: "inet", 2_999: "inet"}
    if key is None:
        rows[1_500]["id"] = 3
        bad[1_500] = "unique constraint"
    writer.write(rows[:1_000])
    writer.write(rows[1_000:])
    found = rejected(writer)
    assert set(found) == set(bad)
    assert all(text in found[number] for number, text in bad.items())
    assert pg.query("SELECT count(*) FROM t") == [(0,)]
    writer.write([row for number, row in enumerate(rows) if number not in bad])
    writer.commit(b"1")
    assert pg.query("SELECT count(*) FROM t") == [(len(rows) - len(bad),)]


def test_rows_that_refer_to_each_other_go_in_in_any_order(opened: Open, pg: Any) -> None:
    pg.query("CREATE TABLE t (id bigint PRIMARY KEY, up bigint REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    writer = opened("t")
    rows = [{"id": n, "up": n + 1 if n < 99 else None} for n in range(100)]
    writer.write([*rows, {"id": 1_000, "up": 2_000}])
    assert set(rejected(writer)) == {100}
    writer.write(rows)
    writer.commit(b"1")
    assert pg.query("SELECT count(*) FROM t") == [(100,)]


def test_what_a_trigger_raises_is_a_rows_fault_and_what_it_fills_is_not(opened: Open, pg: Any) -> None:
    pg.query("CREATE TABLE t (n bigint, seen text NOT NULL)")
    pg.query(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n = 3 THEN RAISE 'no threes'; END IF; "
        "NEW.seen = 'yes'; RETURN NEW; END $$"
    )
    pg.query("CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()")
    writer = opened("t")
    writer.write([{"n": n, "seen": None} for n in range(5)])
    assert rejected(writer) == {3: "no threes"}


def test_what_no_text_of_the_server_holds_is_rejected(opened: Open, pg: Any) -> None:
    writer = opened("t", Everything)
    bad = [everything(s="\0"), everything(s="\ud800"), everything(more={"x\0": 1}), everything(i=2**63)]
    writer.write([everything(), *bad])
    assert set(rejected(writer)) == {1, 2, 4}
    writer.write([everything(), everything(more={"x\0": 1})])
    assert set(rejected(writer)) == {1}


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_server_of_another_encoding_keeps_what_it_can(encoding: str, server: Server) -> None:
    name = f"in_{encoding.lower()}"
    server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    sink = postgres.table(server.dsn(name), "t", if_exists="append")
    writer: Any = sink.writer(None, context())
    try:
        writer.write([{"s": "Zoë"}, {"s": "€"}])
        if encoding == "LATIN1":
            assert set(rejected(writer)) == {1}
            writer.write([{"s": "Zoë"}])
        writer.commit(b"1")
    finally:
        writer.close()
    found = [bytes(text) for (text,) in server.execute("SELECT s::bytea FROM t", name)]
    assert found == (["Zoë".encode("latin-1")] if encoding == "LATIN1" else ["Zoë".encode(), "€".encode()])


def test_the_last_row_of_a_key_wins_within_and_across_commits(opened: Open, pg: Any) -> None:
    writer = opened("t", key=["a", "b"])
    writer.write([{"a": 1, "b": "x", "n": 1}, {"a": 2, "b": "x", "n": 2}, {"a": 1, "b": "x", "n": 3}])
    writer.commit(b"1")
    writer.write([{"a": 2, "b": "x", "n": 4}, {"a": None, "b": "x", "n": 5}])
    assert rejected(writer) == {1: "column 'a' of public.t must not be NULL"}
    writer.write([{"a": 2, "b": "x", "n": 4}])
    writer.commit(b"2")
    assert sorted(pg.query("SELECT * FROM t")) == [(1, "x", 3), (2, "x", 4)]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_an_upsert_leaves_does_not_depend_on_batch_borders(data: st.DataObject, opened: Open, pg: Any) -> None:
    pg.query("DROP TABLE IF EXISTS t")
    keys = data.draw(st.lists(st.integers(0, 5), max_size=30))
    cuts = data.draw(st.sets(st.integers(0, len(keys))))
    writer = opened("t", key="k")
    start = 0
    for stop in sorted({*cuts, len(keys)}):
        writer.write([{"k": k, "n": start + n} for n, k in enumerate(keys[start:stop])])
        if data.draw(st.booleans()):
            writer.commit(b"x")
        start = stop
    writer.commit(b"y")
    expected = {k: n for n, k in enumerate(keys)}
    assert dict(pg.query("SELECT k, n FROM t") if keys else []) == expected


def test_generated_columns_defaults_and_identities_are_the_tables_own(opened: Open, pg: Any) -> None:
    pg.query(
        "CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, n bigint, at text DEFAULT 'now', "
        "twice bigint GENERATED ALWAYS AS (n * 2) STORED)"
    )
    writer = opened("t")
    writer.write([{"n": 1}])
    writer.commit(b"1")
    assert pg.query("SELECT * FROM t") == [(1, 1, "now", 2)]
    writer.write([{"n": 1, "twice": 2}, {"n": 2, "twice": None}])
    assert "generates column 'twice' itself" in rejected(writer)[0]


def test_views_and_tables_with_row_level_security_are_written_by_insert(opened: Open, pg: Any, server: Server) -> None:
    pg.query("CREATE TABLE t (n bigint, who text DEFAULT current_user)")
    pg.query("CREATE VIEW v AS SELECT n FROM t WHERE n < 100 WITH CHECK OPTION")
    writer = opened("v")
    writer.write([{"n": 1}, {"n": 100}])
    assert "check option" in rejected(writer)[1]
    writer.write([{"n": 1}])
    writer.commit(b"1")
    assert pg.query("SELECT n FROM t") == [(1,)]
    server.execute("CREATE ROLE clerk LOGIN")
    pg.query("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    pg.query("CREATE POLICY p ON t FOR INSERT TO clerk WITH CHECK (n > 10)")
    pg.query("GRANT CREATE ON SCHEMA public TO clerk")
    pg.query("GRANT INSERT ON t TO clerk")
    pg.query("GRANT ALL ON _penstock_commits TO clerk")
    sink = postgres.table(server.dsn(pg.name, "clerk"), "t", if_exists="append")
    sink.prepare()
    writer = sink.writer(None, context("other"))  # type: ignore[assignment]
    writer.write([{"n": 5}, {"n": 11}])
    assert "row-level security" in rejected(writer)[0]
    writer.close()


@pytest.mark.parametrize(
    ("statement", "kind", "options", "problem"),
    [
        ("CREATE TABLE t (id bigint)", Visit, {}, "it has no column 'ms'; it has: id"),
        ("CREATE TABLE t (id text, ms float, note bytea)", Visit, {}, "column 'note' is bytea, and the rows have text"),
        ("CREATE TABLE t (id text, ms float, note text, x int NOT NULL)", Visit, {}, "column 'x' must not be NULL"),
        ("CREATE TABLE t (id text, ms float, note text)", Visit, {"key": "id"},
         'no unique index over exactly the key (id), which an upsert needs: CREATE UNIQUE INDEX ON "public"."t" (id)'),
        ("CREATE TABLE t (id text)", None, {"key": "n"}, "no column 'n' for the key; it has: id"),
        ("CREATE TABLE t (id text, ms float GENERATED ALWAYS AS (1) STORED, note text)", Visit, {},
         "column 'ms' is generated by the server"),
    ],
)
def test_a_table_that_does_not_fit_is_told_before_a_run(
    statement: str, kind: Any, options: dict[str, Any], problem: str, pg: Any
) -> None:
    pg.query(statement)
    with pytest.raises(ps.PenstockError) as caught:
        postgres.table(pg.dsn, "t", kind, if_exists="append", **options).prepare()
    assert problem in str(caught.value)


def test_a_fresh_run_refuses_appends_or_overwrites(opened: Open, pg: Any) -> None:
    postgres.table(pg.dsn, "t").refuse()
    pg.query("CREATE TABLE t (n bigint)")
    postgres.table(pg.dsn, "t").refuse()
    pg.query("INSERT INTO t VALUES (1)")
    with pytest.raises(ps.OutputExists, match=r"table t in PostgreSQL \(test_\d+ on .*\) already exists"):
        postgres.table(pg.dsn, "t").refuse()
    for if_exists, left in (("append", 1), ("overwrite", 0)):
        sink = postgres.table(pg.dsn, "t", if_exists=if_exists)  # type: ignore[arg-type]
        sink.refuse()
        sink.prepare()
        assert pg.query("SELECT count(*) FROM t") == [(left,)]


def test_a_table_that_others_refer_to_is_emptied_all_the_same(pg: Any) -> None:
    pg.query("CREATE TABLE t (n bigint PRIMARY KEY)")
    pg.query("INSERT INTO t VALUES (1)")
    pg.query("CREATE TABLE r (n bigint REFERENCES t)")
    postgres.table(pg.dsn, "t", if_exists="overwrite").prepare()
    assert pg.query("SELECT count(*) FROM t") == [(0,)]


def test_the_search_path_decides_once_where_a_table_is(opened: Open, pg: Any) -> None:
    pg.query("CREATE SCHEMA shop")
    pg.query("CREATE TABLE shop.t (n bigint)")
    writer = opened("t")
    writer.write([{"n": 1}])
    writer.commit(b"1")
    pg.query("DROP TABLE t")
    pg.query(f"ALTER DATABASE {pg.name} SET search_path = nowhere, shop")
    writer = opened("t")
    writer.write([{"n": 2}])
    writer.commit(b"1")
    assert pg.query("SELECT n FROM shop.t") == [(2,)]
    pg.query(f"ALTER DATABASE {pg.name} SET search_path = nowhere")
    with pytest.raises(ps.PenstockError, match="no schema for table other in the search path"):
        opened("other")
