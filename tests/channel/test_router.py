"""Routing: every row to exactly one slot, a key always to the same one, in every process."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.channel import router as router_module
from penstock.channel.column_batch import ColumnBatch
from penstock.channel.keys import key_bytes
from penstock.channel.router import Router, group_of_key
from penstock.plan.membership import KEY_GROUPS, dealt
from penstock.plan.plan import Route

keys = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.tuples(inner, inner), max_leaves=4,
)
FIXED_KEYS = ["", "a", "ä", "user-17", 0, 1, -1, 2**40, None, True, False]


class Visit(msgspec.Struct):
    user: Any
    ms: int = 0


def slot_of_key(key: Any, slots: int) -> int:
    return dealt(slots)[group_of_key(key)]


def keyed(slots: int, key: Any) -> Router:
    return Router(Route.HASH, slots, key, dealt(slots))


def no_rooms() -> list[int]:
    raise AssertionError("asked for rooms that do not matter")


@given(st.lists(st.tuples(keys, st.integers(0, 9)), max_size=30), st.integers(1, 7))
def test_every_row_goes_to_exactly_one_slot_by_its_key_and_in_order(rows: list[Any], slots: int) -> None:
    parts, failures = keyed(slots, lambda row: row[0]).split(rows, no_rooms, 0)
    assert not failures
    assert len({slot for slot, _ in parts}) == len(parts)
    for slot, part in parts:
        assert part == [row for row in rows if slot_of_key(row[0], slots) == slot]
    assert sum(len(part) for _, part in parts) == len(rows)


@given(keys)
def test_every_key_has_a_group_and_keeps_it(key: Any) -> None:
    assert 0 <= group_of_key(key) < KEY_GROUPS
    assert group_of_key(key) == group_of_key(key)


@given(st.lists(keys, max_size=30), st.lists(st.integers(0, 3), min_size=KEY_GROUPS, max_size=KEY_GROUPS))
def test_rows_go_where_the_table_says(rows: list[Any], table: list[int]) -> None:
    parts, failures = Router(Route.HASH, 4, lambda row: row, table).split(rows, no_rooms, 0)
    assert not failures
    assert dict(parts) == {
        channel: [row for row in rows if table[group_of_key(row)] == channel]
        for channel in {table[group_of_key(row)] for row in rows}
    }


def test_a_key_has_the_same_group_in_every_process() -> None:
    code = (
        "import json, sys; from penstock.channel.router import group_of_key\n"
        f"print(json.dumps([hash('user-17')] + [group_of_key(k) for k in {FIXED_KEYS!r} + [(1, 'a'), b'x']]))"
    )
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    assert found[0][0] != found[1][0]  # Python's own hash does differ
    assert found[0][1:] == found[1][1:] == [group_of_key(key) for key in [*FIXED_KEYS, (1, "a"), b"x"]]


def test_the_groups_of_keys_never_change_between_versions() -> None:
    """What stands in the queues of an earlier version was routed by them, and what is stored is stored by them."""
    assert [group_of_key(key) for key in ("user-17", 17, (1, "a"), None)] == [59, 127, 98, 61]


def test_keys_spread_over_the_slots() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[slot_of_key(f"user-{number}", 8)] += 1
    assert min(counts) > 800


@pytest.mark.parametrize(
    "key", [lambda n: n, lambda n: 64 * n, lambda n: f"user-{n}", lambda n: f"{n:08}", lambda n: (n % 50, n), UUID],
)
def test_keys_spread_over_the_groups(key: Any) -> None:
    counts = [0] * KEY_GROUPS
    for number in range(100 * KEY_GROUPS):
        counts[group_of_key(UUID(int=number) if key is UUID else key(number))] += 1
    assert min(counts) > 50 and max(counts) < 200


@pytest.mark.parametrize("key", [1j, [1], {"a": 1}, {1}, object(), (1, [2]), Visit("u"), bytearray(b"x")])
def test_what_is_not_a_key_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match=r"keys are .*, not "):
        group_of_key(key)


@dataclasses.dataclass(frozen=True)
class Place:
    city: str
    floor: float
    note: str = dataclasses.field(default="", compare=False)


class Spot(msgspec.Struct, frozen=True):
    x: float


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    ONE = 1


class Kind(enum.Enum):
    ONE = 1


class Pair(NamedTuple):
    left: Any
    right: Any


NOON = datetime(2024, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "equal",
    [
        [1, 1.0, True, Decimal(1), Decimal("1.00"), Fraction(1), Level.ONE],
        [0, -0.0, False, Decimal("-0")],
        [0.5, Decimal("0.5"), Fraction(1, 2)],
        [2**62, 2.0**62, Decimal(2**62)],
        [2**63, 2.0**63, Decimal(2**63), Fraction(2**63)],
        [float("inf"), Decimal("Infinity")],
        ["red", Color.RED],
        [(1, "a"), (True, "a"), Pair(1.0, "a")],
        [NOON, NOON.astimezone(timezone(timedelta(hours=2)))],
        [datetime(2024, 1, 1), datetime(2024, 1, 1, fold=1)],
        [Place("x", 1, "a"), Place("x", True, "b")],
        [frozenset({1, "a", 2.0}), frozenset({True, "a", 2})],
        [Spot(1.0), Spot(1)],
    ],
)
def test_equal_keys_have_one_group(equal: list[Any]) -> None:
    assert all(key == equal[0] for key in equal)
    assert len({key_bytes(key) for key in equal}) == len({group_of_key(key) for key in equal}) == 1


numbers = st.one_of(
    st.integers(), st.floats(allow_nan=False), st.decimals(allow_nan=False, places=3), st.fractions(), st.booleans(),
    st.integers(-(2**70), 2**70).map(float), st.floats(-1e9, 1e9).map(Decimal),
)


@given(numbers, st.sampled_from([int, float, Decimal, Fraction]))
def test_equal_numbers_have_one_group_whatever_their_type(number: Any, kind: Any) -> None:
    try:
        other = kind(number)
    except (ValueError, OverflowError, TypeError):
        return
    if other == number:
        assert key_bytes(number) == key_bytes(other)


def test_keys_that_differ_are_told_apart() -> None:
    keys = [1, "1", b"1", None, 1.5, 2.5, ("1",), NOON, NOON.replace(tzinfo=None), NOON.date(), NOON.time(),
            timedelta(1), UUID(int=1), Kind.ONE, Place("1", 1), Spot(1), frozenset({1}), (), frozenset()]
    assert len(set(map(key_bytes, keys))) == len(keys)


def test_a_value_that_equals_nothing_has_a_key_group_nevertheless() -> None:
    for key in (float("nan"), Decimal("NaN"), Decimal("sNaN")):
        assert 0 <= group_of_key(key) < KEY_GROUPS


@given(st.lists(st.sampled_from(["good", "bad", 1j]), max_size=20))
def test_rows_without_a_key_are_reported_whole_and_the_others_are_sent(users: list[Any]) -> None:
    def key(row: Visit) -> Any:
        if row.user == "bad":
            raise KeyError(row.user)
        return row.user

    rows = [Visit(user, n) for n, user in enumerate(users)]
    parts, failures = keyed(3, key).split(rows, no_rooms, 0)
    assert [failure.row for failure in failures] == [row for row in rows if row.user != "good"]
    assert [type(failure.error) for failure in failures] == [
        KeyError if row.user == "bad" else TypeError for row in rows if row.user != "good"
    ]
    assert [row for _, part in parts for row in part] == [row for row in rows if row.user == "good"]


@pytest.mark.parametrize("row", [{"user": "x"}, Visit("x")])
def test_a_key_is_a_field_of_a_dict_or_of_an_object(row: Any) -> None:
    parts, failures = keyed(16, "user").split([row], no_rooms, 0)
    assert parts == [(slot_of_key("x", 16), [row])]
    assert not failures


@given(st.lists(st.sampled_from(["a", "b", "c", None, "d"]), min_size=1, max_size=20), st.booleans())
def test_columns_are_split_by_key_without_losing_a_column(users: list[Any], by_function: bool) -> None:
    pa = pytest.importorskip("pyarrow")
    table = ColumnBatch(pa.table({"user": pa.array(users, pa.string()), "n": list(range(len(users)))}))

    def key(row: dict[str, Any]) -> Any:
        if row["user"] == "c":
            raise ValueError("c has none")
        return row["user"]

    parts, failures = keyed(4, key if by_function else "user").split(table, no_rooms, 0)
    found = [row for _, part in parts for row in part.rows()] + [failure.row for failure in failures]
    assert sorted(found, key=lambda row: row["n"]) == table.rows()
    assert len(failures) == (users.count("c") if by_function else 0)
    for slot, part in parts:
        assert {slot_of_key(row["user"], 4) for row in part.rows()} == {slot}


def test_columns_whose_keys_are_none_are_told_with_all_their_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    _, failures = keyed(4, "ms").split(ColumnBatch(pa.table({"ms": [[1]], "user": ["u"]})), no_rooms, 0)
    assert [failure.row for failure in failures] == [{"ms": [1], "user": "u"}]


def test_lines_are_split_by_key() -> None:
    parts, _ = keyed(4, lambda line: line).split(Lines(b"a\nb\na\n", 1), no_rooms, 0)
    assert dict(parts) == {slot_of_key("a", 4): ["a", "a"], slot_of_key("b", 4): ["b"]}


def test_remembering_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "_CACHED_KEYS", 10)
    router = keyed(4, lambda row: row)
    rows = [f"key {n}" for n in range(100)]
    parts, _ = router.split(rows, no_rooms, 0)
    assert sorted(row for _, part in parts for row in part) == sorted(rows)
    assert len(router._slots) <= 10


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6))
def test_balanced_rows_go_to_the_slot_with_most_room(rooms: list[int]) -> None:
    ((slot, part),), _ = Router(Route.BALANCE, len(rooms)).split(["row"], lambda: rooms, 0)
    assert rooms[slot] == max(rooms)
    assert part == ["row"]


@given(st.integers(0, 1000), st.integers(1, 7))
def test_turns_are_dealt_round(turn: int, slots: int) -> None:
    assert Router(Route.DEAL, slots).split(["row"], no_rooms, turn) == ([(turn % slots, ["row"])], [])


def test_broadcast_rows_go_to_every_slot_and_forwarded_ones_to_their_own() -> None:
    assert Router(Route.BROADCAST, 3).split(["row"], no_rooms, 0)[0] == [(n, ["row"]) for n in range(3)]
    assert Router(Route.FORWARD, 1).split(["row"], no_rooms, 0)[0] == [(0, ["row"])]
