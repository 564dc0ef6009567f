"""The operators of a stage as one thing: instances, their lives, parsing, and what a stage without operators does."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from penstock.batch import Lines
from penstock.operator import Context
from penstock.operators.each import Each
from penstock.operators.map import Map
from penstock.operators.parse_json import ParseJson
from penstock.operators.verb import Operator
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out, as_row_list, batch_length, batch_slice
from penstock.slot.process.row_failure import Failure
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


class Row(msgspec.Struct):
    a: int


def chain_of(*operators: Operator, leaves: list[int] | None = None) -> Chain:
    nodes = [Node(operator, index - 1) for index, operator in enumerate(operators)]
    chain = Chain(nodes, [len(nodes) - 1] if leaves is None else leaves, label="s")
    chain.open(CONTEXT)
    return chain


def run(chain: Chain, batch: Any) -> tuple[list[Any], list[Failure]]:
    out = Out()
    failures = chain.run(batch, [out])
    return out.batches(), failures


def test_a_stage_without_operators_hands_batches_on_as_they_are() -> None:
    lines = Lines(b"a\nb\n", 1)
    chain = Chain([], [-1, -1], label="s")
    chain.open(CONTEXT)
    outs = [Out(), Out()]
    assert chain.run(lines, outs) == []
    assert [out.batches() for out in outs] == [[lines], [lines]]


json_lines = st.lists(
    st.sampled_from(
        ['{"a":1}', '{"a": 22 }', '{"a":"x"}', "", " ", "{", "[]", '{"a":1}{"a":2}', '{"b":1}', "é", "\ud800"]
    ),
    max_size=8,
)


@given(json_lines, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_parsing_blocks_of_lines_gives_what_parsing_them_one_by_one_gives(
    lines: list[str], end: str, ended: bool, more: bool
) -> None:
    data = (end.join(lines) + (end if ended else "")).encode("utf-8", "surrogatepass")
    block = Lines(data, 1)
    operators: list[Operator] = [ParseJson(None, "f.py:1", type=Row)]
    if more:
        operators.append(Map(lambda row: row.a, "f.py:2"))
    whole, failures = run(chain_of(*operators), block)
    one_by_one, expected = run(chain_of(*operators), block.split())
    assert whole == one_by_one
    assert [(f.index, f.operator, str(f.error)) for f in failures] == [
        (f.index, f.operator, str(f.error)) for f in expected
    ]
    assert all(failure.operator is operators[0] for failure in failures)
    assert sum(map(len, whole)) + len(failures) == batch_length(block)


LIVES: list[str] = []


class Counting:
    """An operator class; remembers its life."""

    def open(self, context: Context) -> None:
        LIVES.append(f"open {context.stage}")

    def __call__(self, row: int) -> int:
        LIVES.append(f"call {row}")
        return row

    def close(self) -> None:
        LIVES.append("close")


def test_a_class_is_made_once_per_worker_opened_first_and_closed_last() -> None:
    LIVES.clear()
    chain = chain_of(Map(Counting, ""))
    run(chain, [1])
    run(chain, [2])
    for close in chain.closers():
        close()
    assert LIVES == ["open s", "call 1", "call 2", "close"]


def test_an_instance_that_is_used_twice_is_opened_and_closed_once() -> None:
    LIVES.clear()
    shared = Counting()
    chain = chain_of(Map(shared, ""), Map(shared, ""))
    run(chain, [1])
    for close in chain.closers():
        close()
    assert LIVES == ["open s", "call 1", "call 1", "close"]


def test_coroutines_may_open_and_close() -> None:
    lives: list[str] = []

    class Client:
        async def open(self, context: Context) -> None:
            lives.append("open")

        async def __call__(self, row: int) -> int:
            return row + 1

        async def close(self) -> None:
            lives.append("close")

    chain = chain_of(Map(Client, ""))
    assert run(chain, [1, 2]) == ([[2, 3]], [])
    for close in chain.closers():
        close()
    assert lives == ["open", "close"]


def test_a_stage_of_effects_only_gives_nothing() -> None:
    seen: list[int] = []
    chain = chain_of(Each(seen.append, ""), leaves=[])
    assert chain.run([1, 2], []) == []
    assert seen == [1, 2]


@given(st.lists(st.integers(), max_size=10), st.integers(0, 12), st.integers(0, 12))
def test_slices_of_any_shape_hold_the_same_rows(rows: list[int], start: int, stop: int) -> None:
    expected = [str(row) for row in rows[start:stop]]
    text = [str(row) for row in rows]
    assert as_row_list(batch_slice(text, start, stop)) == expected
    lines = Lines("".join(f"{row}\n" for row in rows).encode(), 1)
    assert batch_length(lines) == len(rows)
    assert as_row_list(batch_slice(lines, start, stop)) == expected


def test_what_a_leaf_was_given_comes_in_order_whatever_its_shape() -> None:
    out = Out()
    for batch in ([1, 2], Lines(b"a\nb", 1), [3], [4], Lines(b"c\n", 1)):
        out.add(batch)
    assert out.batches() == [[1, 2], Lines(b"a\nb", 1), [3, 4], Lines(b"c\n", 1)]
    assert out.length == 7
