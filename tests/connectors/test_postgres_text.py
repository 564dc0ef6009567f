"""COPY's text: a column at once and value by value give the same; what is no text is refused. No server."""

from __future__ import annotations

import datetime
import enum
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.postgres.column_text import escaped_text, fields
from penstock.connectors.postgres.dsn import place, secrets_of, without
from penstock.connectors.postgres.schema import Column
from penstock.connectors.postgres.value_text import Misfit, text_of

ZONES = st.sampled_from([None, datetime.UTC, datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))])
PLAIN: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(), float: st.floats(), str: st.text(st.characters()), bool: st.booleans(),
    bytes: st.binary(), Decimal: st.decimals(), UUID: st.uuids(), datetime.date: st.dates(),
    datetime.datetime: st.datetimes(timezones=ZONES), datetime.time: st.times(), datetime.timedelta: st.timedeltas(),
}
BASES = (
    "bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "bytea", "date",
    "timestamp", "timestamptz", "time", "timetz", "interval", "uuid", "json", "jsonb", "inet",
)
MODIFIERS = st.sampled_from([-1, 0, 3, 4 + 3, 4 + (10 << 16) + 2])


def _alone(value: Any, column: Column) -> str | None:
    try:
        return "\\N" if value is None else escaped_text(text_of(value, column))
    except Misfit:
        return None


@pytest.mark.parametrize("base", BASES)
@given(data=st.data())
def test_a_column_at_once_is_what_its_values_are_one_by_one(base: str, data: st.DataObject) -> None:
    column = Column("c", base, base, modifier=data.draw(MODIFIERS))
    kind = data.draw(st.sampled_from(list(PLAIN)))
    values = data.draw(st.lists(st.none() | PLAIN[kind], max_size=8))
    texts, misfits = fields(values, column)
    assert len(texts) == len(values)
    for place_, (value, text) in enumerate(zip(values, texts, strict=True)):
        assert (None if place_ in misfits else text) == _alone(value, column)


@given(st.lists(st.text(st.characters()), min_size=1))
def test_no_field_ends_a_line_or_a_field(values: list[str]) -> None:
    texts, misfits = fields(values, Column("c", "text", "text"))
    for place_, text in enumerate(texts):
        assert place_ in misfits or not set(text) & set("\t\n\r\0")
        assert (place_ in misfits) == ("\0" in values[place_] or not _encodes(values[place_]))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("base", "value", "text"),
    [
        ("int8", Level.HIGH, "3"), ("int8", 2.0, "2"), ("int8", Decimal("5"), "5"), ("int8", True, "1"),
        ("text", Colour.RED, "red"), ("text", 1.5, "1.5"), ("text", True, "true"), ("bool", 1, "t"),
        ("float8", float("nan"), "nan"), ("float8", float("-inf"), "-inf"), ("float8", Decimal("0.5"), "0.5"),
        ("numeric", Decimal("NaN"), "NaN"), ("numeric", 1e-7, "1E-7"),
        ("date", datetime.datetime(2024, 2, 29), "2024-02-29"),
        ("timestamptz", datetime.date(2024, 2, 29), "2024-02-29 00:00:00+00"),
        ("timestamptz", "2024-02-29T10:00:00Z", "2024-02-29 10:00:00+00:00"),
        ("timestamp", "2024-02-29T10:00:00+02:00", "2024-02-29 08:00:00"),
        ("jsonb", "text", '"text"'), ("jsonb", {1: [None, Colour.RED]}, '{"1":[null,"red"]}'),
        ("inet", "::1", "::1"),
    ],
)
def test_a_value_becomes_the_text_that_means_it(base: str, value: Any, text: str) -> None:
    assert text_of(value, Column("c", base, base)) == text


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (Column("c", "bigint", "int8"), 1.5), (Column("c", "bigint", "int8"), 2**63),
        (Column("c", "smallint", "int2"), 2**15), (Column("c", "bigint", "int8"), float("nan")),
        (Column("c", "double precision", "float8"), 2**53 + 1), (Column("c", "double precision", "float8"), 10**400),
        (Column("c", "double precision", "float8"), Decimal("1.1")),
        (Column("c", "numeric(10,2)", "numeric", modifier=4 + (10 << 16) + 2), Decimal("1.555")),
        (Column("c", "numeric(10,2)", "numeric", modifier=4 + (10 << 16) + 2), 1.555),
        (Column("c", "varchar(3)", "varchar", modifier=7), "abc "), (Column("c", "text", "text"), [1]),
        (Column("c", "text", "text"), b"x"), (Column("c", "date", "date"), datetime.datetime(2024, 1, 1, 1)),
        (Column("c", "timestamp(0)", "timestamp", modifier=0), datetime.datetime(2024, 1, 1, 1, 1, 1, 500_000)),
        (Column("c", "time", "time"), datetime.time(1, tzinfo=datetime.UTC)),
        (Column("c", "date", "date"), "yesterday"),
        (Column("c", "jsonb", "jsonb"), {"a": [float("nan")]}), (Column("c", "jsonb", "jsonb"), object()),
        (Column("c", "boolean", "bool"), 2), (Column("c", "bytea", "bytea"), "text"),
        (Column("c", "integer[]", "int4", array=True), [1, 1.5]), (Column("c", "integer[]", "int4", array=True), "{1}"),
    ],
)
def test_a_value_that_would_change_is_refused_by_column_type_and_value(column: Column, value: Any) -> None:
    with pytest.raises(Misfit, match=r"column 'c' is .* and cannot hold"):
        text_of(value, column)


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://ann:hunter2@db.example.org:5432/shop?sslmode=require", "shop on db.example.org:5432"),
        ("postgres://db.example.org", "db.example.org"),
        ("postgresql:///shop?host=/run/postgresql&password=hunter2", "shop"),
        ("postgresql://a1:1,b2:2/shop", "shop on a1:1,b2:2"),
        ("host=db port=6432 dbname='my shop' password='it''s hunter2'", ""),
        (r"host=db dbname='my shop' password='hun\'ter2' user=ann", "my shop on db"),
        ("password=hunter2 host=db", "db"), ("", ""), ("service=shop", ""),
        ("dbname=postgresql://ann:hunter2@db/shop", ""),
        ("postgresql://ann:hunt/er2@db/shop", ""), ("postgresql://ann:hunt?er2@db/shop", ""),
        ("postgresql://ann:hunter2@x@db/shop", ""), ("postgresql://ann:hunter2", ""),
    ],
)
def test_of_a_connection_string_only_host_port_and_database_are_shown(dsn: str, shown: str) -> None:
    assert place(dsn) == shown


FORMS = ("postgresql://u:{}@h/d", "postgresql://u:{}@h:1/d?x=y", "host=h password={} dbname=d",
         "host=h password='{}' dbname=d", "postgresql://h/d?password={}", "dbname=d password={}")
SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6).map(lambda text: "Z%" + text + "$Q")


@given(SECRET, st.sampled_from(FORMS))
def test_no_password_is_ever_shown_however_it_is_written(secret: str, form: str) -> None:
    shown = place(form.format(secret))
    pieces = {secret[at : at + 4] for at in range(len(secret) - 3)}
    assert not any(piece in shown for piece in pieces if piece not in "postgres")


def test_a_password_that_a_server_quotes_is_taken_out() -> None:
    secrets = secrets_of({"password": "hunter2", "user": "ann", "sslpassword": "x.y", "sslkey": "/etc/key"})
    assert without(secrets, 'option "hunter2" of ann, x.y, /etc/key') == 'option "***" of ann, ***, /etc/key'
