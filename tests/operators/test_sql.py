"""Queries over batches: what they give, whatever the batches are, and which ones are refused before anything runs."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock import testing
from penstock.connectors import files
from penstock.operator import Context
from penstock.operators.queried.sql import Sql
from penstock.plan.plan import Node
from penstock.sequences import SequenceSource
from penstock.slot.input.batches import Out
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


class Visit(msgspec.Struct):
    user: int
    ms: float | None
    url: str = "/"


class User(msgspec.Struct):
    id: int
    name: str


class Named(msgspec.Struct):
    name: str
    seconds: float | None


VISITS = [Visit(1, 1500.0), Visit(2, 2), Visit(3, None), Visit(1, 250.0)]  # type: ignore[arg-type]
USERS = [User(1, "ann"), User(2, "bob")]
JOINED = "SELECT u.name, ms / 1000 AS seconds FROM batch b JOIN users u ON u.id = b.user WHERE ms > 10 OR ms < 5"


def run(query: Any, rows: list[Any] = VISITS, **options: Any) -> list[Any]:
    app = ps.Pipeline("queries")
    app.source(rows, name="rows").stage("query").sql(query, **options).sink(print, name="out")
    return list(testing.run(app, {"rows": rows}).outputs["out"])


def told(query: Any, rows: Any = VISITS, **options: Any) -> str:
    app = ps.Pipeline("queries")
    app.source(rows, name="rows").stage("query").sql(query, **options).sink(print, name="out")
    return "\n".join(map(str, app.check()))


def test_a_query_selects_from_each_batch_and_joins_it_with_tables() -> None:
    app = ps.Pipeline("queries")
    named = app.source(VISITS, name="rows").stage("query").sql(JOINED, tables={"users": USERS}, type=Named)
    named.map(lambda row: row).sink(print, name="out")
    found = testing.run(app, {"rows": VISITS}).outputs["out"]
    assert found == [Named("ann", 1.5), Named("bob", 0.002), Named("ann", 0.25)]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_tables_may_be_files(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"users.{kind}"
    table: Any
    if kind == "csv":
        path.write_text("id,name\n1,ann\n2,bob\n")
        table = files.csv(path, User)
    elif kind == "jsonl":
        path.write_text('{"id":1,"name":"ann"}\n{"id":2,"name":"bob"}\n')
        table = files.json_lines(path, User)
    else:
        pq.write_table(pa.table({"id": [1, 2], "name": ["ann", "bob"]}), path)
        table = files.parquet(path)
    assert [row["name"] for row in run(JOINED, tables={"users": table})] == ["ann", "bob", "ann"]


def test_an_empty_table_of_a_known_type_is_empty_and_one_of_no_known_type_is_told(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,name\n")
    assert run(JOINED, tables={"users": files.csv(tmp_path / "users.csv", User)}) == []
    with pytest.raises(ps.PenstockError, match="the columns of table 'users' are not known; give it a type"):
        Sql(None, "f.py:1", query=JOINED, tables=(("users", SequenceSource([])),)).function().open(CONTEXT)  # type: ignore[attr-defined]


def test_workers_of_their_own_run_queries(tmp_path: Path) -> None:
    app = ps.Pipeline("queries")
    rows = app.source(VISITS, name="rows").stage("query", workers=2).sql(JOINED, tables={"users": USERS}, type=Named)
    with rows.results(run_dir=tmp_path / "run") as results:
        assert sorted(row.seconds for row in results) == [0.002, 0.25, 1.5]


def test_columns_of_a_source_are_given_as_they_are(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": [1, 2], "ms": [5.0, 7.5]}), tmp_path / "visits.parquet")
    app = ps.Pipeline("queries")
    columns = app.source(files.parquet(tmp_path / "visits.parquet"), name="rows")
    columns.sql("SELECT user, ms * 2 AS ms FROM batch WHERE ms > 6").sink(print, name="out")
    with columns.sql("SELECT user, ms * 2 AS ms FROM batch WHERE ms > 6").results(run_dir=tmp_path / "run") as found:
        assert list(found) == [{"user": 2, "ms": 15.0}]


numbers = st.none() | st.floats(-5, 5) | st.integers(-5, 5)
rows = st.lists(st.builds(Visit, st.integers(0, 5), numbers, st.sampled_from(["/a", "/b"])), max_size=12)


@settings(max_examples=25)
@given(rows=rows, cuts=st.lists(st.integers(0, 12), max_size=3))
def test_what_a_query_gives_does_not_depend_on_where_batches_end(rows: list[Visit], cuts: list[int]) -> None:
    query = """
        WITH seen AS (SELECT user, ms + 1 AS more, upper(url) AS url FROM batch WHERE ms IS NULL OR ms >= 0)
        SELECT s.*, u.name FROM seen s LEFT JOIN users u ON s.user = u.id"""
    names = {user.id: user.name for user in USERS}
    expected = [
        {"user": row.user, "more": None if row.ms is None else float(row.ms) + 1, "url": row.url.upper(),
         "name": names.get(row.user)}
        for row in rows if row.ms is None or row.ms >= 0
    ]
    given = []
    tables = (("users", SequenceSource(USERS)),)
    chain = Chain([Node(Sql(None, "", query=query, row_type=Visit, tables=tables), -1)], [0], label="s")
    chain.open(CONTEXT)
    borders = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    kinds = set()
    for start, stop in itertools.pairwise(borders):
        out = Out()
        assert chain.run(rows[start:stop], [out]) == []
        for batch in out.batches():
            given += batch.rows()
            kinds.add(str(batch.table().schema))
    for close in chain.closers():
        close()
    assert given == expected
    assert len(kinds) <= 1, "all batches have the same columns, whatever values they have"


def test_a_row_that_the_query_fails_for_fails_alone() -> None:
    app, texts = ps.Pipeline("queries"), [{"n": "1"}, {"n": "x"}, {"n": "3"}]
    app.source(texts, name="rows").stage("query").sql("SELECT CAST(n AS INT) AS n FROM batch").sink(print, name="out")
    outcome = testing.run(app, {"rows": texts})
    assert outcome.outputs["out"] == [{"n": 1}, {"n": 3}]
    [letter] = outcome.dead_letters
    assert letter.row == {"n": "x"} and "Could not convert string 'x'" in letter.error
    assert letter.operator.startswith("sql('SELECT CAST(n AS INT) AS n FROM batch')")


IN_ORDER = (
    "SELECT u.name, b.* FROM users u JOIN batch b ON u.id = b.user",
    "SELECT name, b.user FROM (SELECT user FROM batch) b LEFT JOIN users ON id = user",
    "SELECT *, (SELECT count(*) FROM users WHERE id <= batch.user) AS n FROM batch",
    "SELECT user FROM batch UNION ALL SELECT user + 0 FROM batch",
    "SELECT * FROM batch WHERE user IN (SELECT id FROM users)",
    "WITH a AS (SELECT * EXCLUDE (ms) FROM batch), b AS (SELECT * FROM a JOIN users u ON u.id >= a.user) FROM b",
    "SELECT * FROM (SELECT user FROM batch) JOIN users ON id = user",
)


@settings(max_examples=10)
@given(users=st.lists(st.integers(0, 3), max_size=40), query=st.sampled_from(IN_ORDER))
def test_rows_come_in_the_order_of_those_that_they_are_made_of(users: list[int], query: str) -> None:
    visits = [Visit(user, None, str(number)) for number, user in enumerate(users)]
    tables = (("users", SequenceSource([*USERS, User(1, "amy")])),)
    operator = Sql(None, "", query=query, row_type=Visit, tables=tables)
    assert [*operator.query_mistakes()] == []
    call: Any = operator.function()
    call.open(CONTEXT)

    def of(rows: list[Visit]) -> list[str]:
        table = pa.table({name: [getattr(row, name) for row in rows] for name in ("user", "ms", "url")})
        found = call(table)
        assert not any(name.startswith("_penstock") for name in found.column_names)
        return list(map(str, found.to_pylist()))

    whole, rows = of(visits), [of([visit]) for visit in visits]
    place = 0
    for one in rows:  # what one row gives has no order
        assert sorted(whole[place : place + len(one)]) == sorted(one)
        place += len(one)
    assert place == len(whole)
    call.close()


# What is refused when a pipeline is built.

REFUSED = {
    "SELEC a FROM batch": "syntax error at or near \"SELEC\" (line 1, column 1 of the query: 'SELEC a FROM batch')",
    "SELECT user,\n  bb FROM batch": "(line 2, column 3 of the query: 'bb FROM batch'); correct the query",
    "SELECT user + url AS x FROM batch, users": "argument types '+(BIGINT, VARCHAR)'",
    "SELECT lenght(url) AS n FROM batch": "Scalar Function with name lenght does not exist!",
    "SELECT count(*) AS n FROM batch": "count() would be of one batch, and borders of batches mean nothing (line",
    "SELECT user, sum(ms) AS s FROM batch GROUP BY user": "GROUP BY would be of one batch",
    "SELECT user FROM batch GROUP BY ALL": "GROUP BY would be of one batch",
    "SELECT DISTINCT user FROM batch": "borders of batches mean nothing; use .key_by(...).dedupe(...)",
    "SELECT user FROM batch ORDER BY ms": "ORDER BY would be of one batch",
    "SELECT user FROM batch LIMIT 3": "LIMIT would be of one batch",
    "SELECT user FROM batch USING SAMPLE 10%": "a sample would be of one batch",
    "SELECT sum(ms) OVER () AS s FROM batch": "sum() OVER would be of one batch",
    "SELECT user FROM batch QUALIFY row_number() OVER () = 1": "row_number() OVER would be of one batch",
    "WITH x AS (SELECT * FROM batch) SELECT max(ms) AS m FROM x": "max() would be of one batch",
    "SELECT m FROM (SELECT max(ms) AS m FROM batch)": "max() would be of one batch",
    "SELECT user FROM batch UNION SELECT id FROM users": "UNION would be of one batch",
    "SELECT user FROM batch UNION ALL SELECT id FROM users": "UNION ALL with rows of a table would be of one batch",
    "SELECT a.user FROM batch a JOIN batch b ON a.user = b.user": "a join of batch with itself would be of one batch",
    "SELECT u.name FROM batch b RIGHT JOIN users u ON u.id = b.user": "RIGHT JOIN, which gives rows of a table that",
    "SELECT u.name FROM users u LEFT JOIN batch b ON u.id = b.user": "LEFT JOIN, which gives rows of a table that",
    "SELECT name FROM users WHERE id IN (SELECT user FROM batch)": "a subquery over batch would be of one batch",
    "SELECT name FROM users": "it does not read batch; write SELECT ... FROM batch",
    "SELECT name FROM usrs, batch": "of the query: 'usrs, batch'); did you mean 'users'?",
    "SELECT * FROM 'users.csv', batch": "no table is called 'users.csv'",
    "SELECT b.* FROM batch b, read_csv('/etc/passwd')": "Cannot access file",
    "SELECT user; SELECT 2": "it has 2 statements; write one SELECT",
    "DELETE FROM batch": "it is no SELECT",
    "SELECT user, ms AS user FROM batch": "several columns are called 'user'",
    "WITH RECURSIVE r AS (SELECT user FROM batch UNION ALL SELECT user FROM r) SELECT * FROM r": "a recursive query",
}
def test_a_column_of_another_type_than_its_field_is_refused() -> None:
    said = told("SELECT user AS name, user * 1.5 AS seconds FROM batch", type=Named)
    assert "field 'name' of Named is str, but the column is BIGINT; write CAST(... AS VARCHAR) AS name" in said
    assert "field 'seconds' of Named is float | None, but the column is DECIMAL" in said
    assert "write CAST(... AS DOUBLE) AS seconds" in said
    assert told("SELECT url AS name, user AS seconds FROM batch", type=Named) == ""  # whole numbers are numbers
    assert told("SELECT url AS name, NULL AS seconds FROM batch", type=Named) == ""


class Dated(msgspec.Struct):
    day: datetime.datetime


def test_of_columns_whose_type_the_values_tell_nothing_is_refused() -> None:
    assert told("SELECT day FROM batch", rows=[Dated(datetime.datetime(2026, 1, 1))], type=Dated) == ""


ALLOWED = (
    "SELECT user FROM batch;",
    "FROM batch SELECT user",
    "SELECT (SELECT max(name) FROM users WHERE users.id = batch.user) AS name FROM batch",
    "SELECT user, n FROM batch JOIN (SELECT id, count(*) AS n FROM users GROUP BY id ORDER BY n LIMIT 5) ON id = user",
    "SELECT user FROM batch WHERE user IN (SELECT id FROM users) UNION ALL SELECT 0 AS user FROM batch",
    "SELECT user FROM batch SEMI JOIN users ON users.id = batch.user",
    "SELECT u.name, b.user FROM users u RIGHT JOIN batch b ON u.id = b.user",
    "WITH batch AS (SELECT * FROM users), x AS (SELECT 1 AS one) SELECT count(*) AS n FROM batch",
)


@pytest.mark.parametrize("query", REFUSED)
def test_a_query_that_cannot_be_over_batches_is_told_with_its_line_and_place(query: str) -> None:
    found = told(query, tables={"users": USERS})
    assert REFUSED[query] in found, found
    assert Path(__file__).name in found


@pytest.mark.parametrize("query", ALLOWED)
def test_what_is_of_single_rows_or_of_whole_tables_is_allowed(query: str) -> None:
    found = told(query, tables={"users": USERS})
    if query.startswith("WITH batch"):
        assert "it does not read batch" in found
    else:
        assert found == ""


def test_syntax_is_checked_where_columns_are_not_known() -> None:
    rows: list[Any] = [{"a": 1}]
    assert "syntax error" in told("SELECT a FRM batch", rows)
    assert "GROUP BY" in told("SELECT b FROM batch GROUP BY b", rows)
    assert told("SELECT b FROM batch", rows) == ""


def test_results_must_fit_the_type_that_they_are_to_be() -> None:
    misspelt = told("SELECT url AS nme, ms AS seconds FROM batch", type=Named)
    assert "Named has no field 'nme'; did you mean 'name'?" in misspelt
    assert "nothing gives field 'seconds' of Named" in told("SELECT url AS name FROM batch", type=Named)


def test_tables_that_cannot_be_are_told(tmp_path: Path) -> None:
    assert "table 'users' is nothing that can be read" in told(JOINED, tables={"users": "users.csv"})
    assert "the name of table 'batch' is taken" in told("SELECT 1 AS a FROM batch", tables={"batch": USERS})
    assert "table 'users': " in told(JOINED, tables={"users": files.csv(tmp_path / "no.csv", User)})
    assert "never ends" in told(JOINED, tables={"users": files.lines(tmp_path, follow=True)})
    assert "write it as text" in told(3)


def test_times_and_decimals_are_what_they_are() -> None:
    when = datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=datetime.UTC)
    found = run("SELECT time + INTERVAL 1 HOUR AS later, day FROM batch", [{"time": when, "day": when.date()}])
    assert found == [{"later": when + datetime.timedelta(hours=1), "day": when.date()}]
