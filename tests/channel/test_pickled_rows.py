"""Pickles of many rows taken apart: each row comes back as it was, and only those that cannot are missed."""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import pickle
import sys
import types
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import UndecodedRow
from penstock.channel.codec import Codec, RowCodec, join_payloads
from penstock.channel.pickled_rows import RowWatch, rows_apart


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = None


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Slotted) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


class Rows(list[Any]):
    pass


class Fields(dict[str, Any]):
    pass


class Pair(collections.namedtuple("Pair", "a b")):
    pass


class Named:
    def __new__(cls, *, key: Any) -> Named:
        made = object.__new__(cls)
        made.key = key
        return made

    key: Any

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]:
        return (), {"key": self.key}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.key == other.key

    __hash__ = None  # type: ignore[assignment]


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class SetByFunction:
    def __init__(self, x: Any = None) -> None:
        self.x = x

    def __reduce__(self) -> tuple[Any, ...]:
        return SetByFunction, (), self.x, None, None, set_x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SetByFunction) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


def set_x(made: SetByFunction, x: Any) -> None:
    made.x = x


class Guarded:
    """Unpickling runs its code."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __getstate__(self) -> Any:
        return self.x

    def __setstate__(self, x: Any) -> None:
        if x == "bad":
            raise SystemExit("no such state")
        self.x = x


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
    | st.decimals(allow_nan=False) | st.datetimes() | st.uuids() | st.fractions() | st.sampled_from(Color)
    | st.sampled_from([int, Point, len, range(3), 2**80, b"x" * 300])
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(Point, inner, inner) | st.builds(Slotted, inner) | st.builds(Rows, st.lists(inner, max_size=3))
        | st.builds(Fields, st.dictionaries(st.text(max_size=3), inner, max_size=3)) | st.builds(Pair, inner, inner)
        | st.builds(lambda key: Named(key=key), inner) | st.builds(SetByFunction, inner)
        | st.builds(collections.deque, st.lists(inner, max_size=3))
        | st.builds(lambda items: collections.defaultdict(list, {1: items}), st.lists(inner, max_size=3))
    ),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(values, max_size=8), st.booleans())
def test_each_row_is_what_it_was(rows: list[Any], shared: bool) -> None:
    if shared and rows:
        rows = [*rows, rows[0], (rows[0], rows[-1])]
    assert [pickle.loads(row) for row in rows_apart(pickle.dumps(rows, 5))] == rows


def test_rows_that_hold_themselves_do_so_again() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    point = Point(1)
    point.y = point
    attributed = Rows([1])
    attributed.name = "rows"  # type: ignore[attr-defined]
    first, second, third = (pickle.loads(row) for row in rows_apart(pickle.dumps([ring, point, attributed], 5)))
    assert first[1] is first and second.y is second and third.name == "rows"


@pytest.mark.parametrize(
    "row",
    [
        decimal.Decimal("1.50"), datetime.datetime.now(datetime.UTC), fractions.Fraction(1, 3), uuid.uuid4(),
        collections.OrderedDict(a=1), collections.Counter("abc"), bytearray(b"abc"), frozenset({1, (2, 3)}),
        {1, 2}, types.SimpleNamespace(a=1), 1j, slice(1, 2),
    ],
)  # fmt: skip
def test_rows_of_the_standard_library_come_back(row: Any) -> None:
    [data] = rows_apart(pickle.dumps([row], 5))
    assert pickle.loads(data) == row and type(pickle.loads(data)) is type(row)


class NeedsTwo(Exception):
    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")


def test_rows_beside_one_that_cannot_be_unpickled_are_kept() -> None:
    shared = Point(1, [2])
    rows = [shared, NeedsTwo(503, "busy"), (7, shared), Guarded("bad"), Guarded("good")]
    decoded = RowCodec().decode(*RowCodec().encode(rows))
    assert [decoded.batch[0], decoded.batch[2], decoded.batch[4].x] == [shared, (7, shared), "good"]
    assert sorted(decoded.failures) == [1, 3]
    row, error = decoded.failures[1]
    assert isinstance(row, UndecodedRow) and isinstance(error, TypeError) and "body" in str(error)
    with pytest.raises(TypeError, match="body"):
        pickle.loads(row.pickle)
    assert isinstance(decoded.failures[3][1], SystemExit)


def test_a_row_is_readable_by_itself_once_its_class_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = RowCodec().decode(*RowCodec().encode([1, NeedsTwo(503, "busy")]))
    monkeypatch.setattr(NeedsTwo, "__init__", lambda self, status, body="": Exception.__init__(self, status))
    row = pickle.loads(decoded.failures[1][0].pickle)
    assert isinstance(row, NeedsTwo) and row.args == ("503: busy",)


def test_a_class_that_is_gone_costs_its_rows_only() -> None:
    module = types.ModuleType("gone_tomorrow")
    sys.modules["gone_tomorrow"] = module
    gone = type("Gone", (), {"__module__": "gone_tomorrow"})
    module.Gone = gone  # type: ignore[attr-defined]
    payload = pickle.dumps([1, gone(), 2, [gone]], 5)
    del sys.modules["gone_tomorrow"]
    decoded = RowCodec().decode(Codec.PICKLE, payload, 4)
    assert decoded.batch == [1, None, 2, None]
    assert all(isinstance(error, ModuleNotFoundError) for _, error in decoded.failures.values())
    sys.modules["gone_tomorrow"] = module
    try:
        assert isinstance(pickle.loads(decoded.failures[1][0].pickle), gone)
    finally:
        del sys.modules["gone_tomorrow"]


class Noted(RowWatch):
    def __init__(self, forbidden: int) -> None:
        self.one_by_one = True
        self.forbidden = forbidden
        self.begun: list[int] = []

    def forbids(self, row: int) -> str:
        return "it kills" if row == self.forbidden else ""

    def begins(self, row: int) -> None:
        self.begun.append(row)


def test_a_forbidden_row_is_not_brought_back_and_rows_are_counted_over_parts() -> None:
    codec = RowCodec()
    parts = [codec.encode([Point(n), Point(n + 1)]) for n in (0, 2, 4)]
    watch = Noted(3)
    decoded = codec.decode(*join_payloads(parts), -1, watch)
    assert watch.begun == [0, 1, 2, 4, 5]
    assert list(decoded.failures) == [3] and decoded.failures[3][1] == "it kills"
    assert [row.x for row in decoded.batch if row is not None] == [0, 1, 2, 4, 5]


def test_a_class_of_the_extension_registry_comes_back() -> None:
    copyreg.add_extension(__name__, "Point", 0xF123)
    try:
        [row] = rows_apart(pickle.dumps([Point(3)], 5))
        assert pickle.loads(row) == Point(3)
    finally:
        copyreg.remove_extension(__name__, "Point", 0xF123)
