"""Lines of JSON: each line is one document, whatever stands on it and on the lines around it."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.operator import Context
from penstock.operators.map import Map
from penstock.operators.parse_json import ParseJson, decode_block, decodes_without_user_code
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.user_code.chain import Chain

fragments = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"', '"a"', '"a":', "1", "-0", "1.5", "1e5", "null", "true", " ", "\t", "\r", "\\",
     "],[", "},{", '{"a":1', '"b":2}', '{"c":3},{"d":4}', '"b":[', "]}", "[[3", "4]]", "é", "\u2028", "\x0b", "\x85"]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", ""]), inner, max_size=3),
    max_leaves=6,
)
written = st.builds(json.dumps, documents, ensure_ascii=st.booleans())
pieces_of_documents = st.builds(lambda text, at: text[at % (len(text) + 1) :], written, st.integers(0, 99))
lines = st.lists(
    written | st.lists(fragments, max_size=5).map("".join) | pieces_of_documents
    | st.builds("{}{}{}".format, written, st.sampled_from([",", " ", ""]), written),
    max_size=7,
)


def chain_of(row_type: Any = Any) -> Chain:
    nodes = [Node(ParseJson(None, "f.py:1", row_type), -1), Node(Map(lambda row: row, "f.py:2"), 0)]
    chain = Chain(nodes, [1], label="s")
    chain.open(Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1))
    return chain


def as_json(line: str) -> tuple[bool, Any]:
    """(whether it is one document, which one), by the standard library; without what JSON itself does not have."""
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False, None
    return True, value


def comparable(value: Any) -> Any:
    return repr(value)  # 1, 1.0, True and -0.0 differ there


@given(lines, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_each_line_gives_what_the_standard_library_reads_from_it_alone(texts: list[str], ended: bool, end: str) -> None:
    data = end.join(texts).encode() + (end.encode() if ended and texts else b"")
    out = Out()
    failures = chain_of().run(Lines(data, 1), [out])
    each = data.decode().removesuffix("\n").split("\n") if data else []
    expected = [as_json(line) for line in each]
    assert comparable(out.rows) == comparable([value for good, value in expected if good])
    assert [failure.index for failure in failures] == [index for index, (good, _) in enumerate(expected) if not good]


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('{"a":1\n"b":2}\n{"c":3},{"d":4}\n{"e":5}', [{"e": 5}], [0, 1, 2]),
        ('"a\nb"\n1],[2\n3', [3], [0, 1, 2]),
        ("[[3\n4]]\n1],[2", [], [0, 1, 2]),
        ('{"a":1\n,"b":2}\n{"c":3} {"d":4}', [], [0, 1, 2]),
        ("1\n\n2", [1, 2], [1]),
    ],
)
def test_broken_lines_never_make_up_for_one_another(text: str, good: list[Any], bad: list[int]) -> None:
    out = Out()
    failures = chain_of().run(Lines(text.encode(), 1), [out])
    assert (out.rows, [failure.index for failure in failures]) == (good, bad)


def test_a_document_too_deep_to_be_read_costs_its_own_line_only() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000  # how deep is too deep differs from Python to Python
    out = Out()
    failures = chain_of().run(Lines(b'{"ok":1}\n' + deep + b'\n{"ok":2}\n', 1), [out])
    assert out.rows == [{"ok": 1}, {"ok": 2}]
    assert [(failure.index, type(failure.error)) for failure in failures] == [(1, RecursionError)]


def test_numbers_keep_what_the_line_says() -> None:
    block = Lines(b"123456789012345678901234567890\n1e400\n-0.0\n0.1\n", 1)
    out = Out()
    failures = chain_of().run(block, [out])
    assert (out.rows[0], math.copysign(1, out.rows[1]), out.rows[2]) == (123456789012345678901234567890, -1.0, 0.1)
    assert [failure.index for failure in failures] == [1]


class Plain(msgspec.Struct):
    a: int
    next: Plain | None = None


class Checked(msgspec.Struct):
    a: int

    def __post_init__(self) -> None:
        if self.a == 1:
            raise KeyError(self.a)


class Holder(msgspec.Struct):
    items: dict[str, list[Checked]]


@dataclass
class Hooked:
    a: int

    def __post_init__(self) -> None:
        self.a += 1


class Open(enum.Enum):
    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> Open:
        return cls.A


@pytest.mark.parametrize(
    ("row_type", "without"),
    [(Any, True), (int, True), (Plain, True), (dict[str, list[Plain]], True), (Checked, False), (Holder, False),
     (list[Holder | None], False), (Hooked, False), (Open, False)],
)
def test_what_runs_code_of_the_users_is_decoded_where_that_is_watched(row_type: Any, without: bool) -> None:
    assert decodes_without_user_code(row_type) is without


def test_a_check_of_the_users_that_raises_costs_its_own_line_only() -> None:
    out = Out()
    failures = chain_of(Checked).run(Lines(b'{"a":0}\n{"a":1}\n{"a":2}\n', 1), [out])
    assert [row.a for row in out.rows] == [0, 2]
    assert [(failure.index, type(failure.error)) for failure in failures] == [(1, KeyError)]


def test_a_block_in_order_is_decoded_in_one_call() -> None:
    calls: list[bytes] = []
    decode = msgspec.json.Decoder().decode
    assert decode_block(lambda line: (calls.append(line), decode(line))[1], Lines(b"1\n2", 1)) == [1, 2]
    assert calls == [b"1\n", b"2"]
