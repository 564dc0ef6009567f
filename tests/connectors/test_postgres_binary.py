"""COPY's binary format stores what its text format stores, for every type and any values; on a real server."""

from __future__ import annotations

import datetime
import enum
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.connectors import postgres
from penstock.connectors.postgres import transaction
from penstock.operator import Context
from penstock.sink import RowsRejected

ZONE = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=5,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue\t\\"


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "smallint": st.integers(-(2**16), 2**16), "integer": st.integers(), "bigint": st.integers(),
    "real": st.floats(width=32), "double precision": st.floats(), "numeric": st.decimals(),
    "numeric(8,2)": st.decimals(min_value=-999, max_value=999, places=3), "text": st.text(st.characters()),
    "varchar(3)": st.text(st.characters(), max_size=4), "char(3)": st.text(max_size=4), "boolean": st.booleans(),
    "bytea": st.binary(), "date": st.dates(), "timestamptz": st.datetimes(timezones=st.just(ZONE)),
    "timestamp": st.datetimes(), "timestamp(3)": st.datetimes(), "time": st.times(), "interval": st.timedeltas(),
    "interval(0)": st.timedeltas(), "uuid": st.uuids(), "jsonb": JSON, "json": JSON,
    "text COLLATE \"C\"": st.sampled_from(Colour), "bigint[]": st.lists(st.integers(-5, 5)),
}


def _stored(pg: Any, table: str, kind: str, values: list[Any]) -> tuple[list[Any], dict[int, str]]:
    """What is in the table after all, and the reasons of the first refusal."""
    context = Context(pipeline="p", stage=table, slot=0, workers=1, attempt=1, run_id="r")
    writer: Any = postgres.table(pg.dsn, table, if_exists="append").writer(None, context)
    refused: dict[int, str] = {}
    rows = [{"n": n, "v": value} for n, value in enumerate(values)]
    try:
        while True:
            writer.write(rows)
            try:
                writer.commit(b"1")
                break
            except RowsRejected as rejected:
                assert rejected.reasons
                refused.update({rows[place]["n"]: why for place, why in rejected.reasons.items()})
                rows = [row for place, row in enumerate(rows) if place not in rejected.reasons]
    finally:
        writer.close()
    cast = "v::text" if kind.startswith("json") else "v"
    return pg.query(f"SELECT n, {cast}::text FROM {table} ORDER BY n"), refused


@pytest.mark.parametrize("kind", VALUES)
def test_binary_and_text_store_the_same(kind: str, pg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.none() | VALUES[kind], max_size=6))
    def check(values: list[Any]) -> None:
        found = []
        for table in ("by_binary", "by_text"):
            pg.query(f"DROP TABLE IF EXISTS {table}")
            pg.query(f"CREATE TABLE {table} (n bigint, v {kind})")
            with monkeypatch.context() as patched:
                if table == "by_text":
                    patched.setattr(transaction, "plain", lambda columns: None)
                found.append(_stored(pg, table, kind, values))
        assert found[0] == found[1]

    check()


def test_plain_rows_go_by_the_binary_format_and_others_by_text(pg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    made = transaction.plain

    def noted(columns: Any) -> Any:
        used.append(made(columns) is not None)
        return made(columns)

    monkeypatch.setattr(transaction, "plain", noted)
    pg.query("CREATE TABLE t (n bigint, v numeric)")
    _stored(pg, "t", "numeric", [Decimal(1), None, Decimal("1.5")])
    _stored(pg, "t", "numeric", [Decimal(1), 2])
    assert used == [True, False]
