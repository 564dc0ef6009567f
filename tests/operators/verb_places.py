"""Runs a verb in every place where rows can meet it: what it does must not depend on the place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from penstock.operator import Context
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.map_many import MapMany
from penstock.operators.verb import Becomes, Operator
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.user_code.async_rows import Coroutines
from penstock.slot.user_code.chain import Chain

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


def check_everywhere(
    operator: Operator, rows: Sequence[Any], meaning: Callable[[Any], Iterable[Any]], *, alone: bool = True
) -> None:
    """`meaning(row)`: the rows that the verb gives for a row, or it raises what the row fails with.

    `alone`: False for a coroutine, which runs in no other place than alone.
    """
    given, failed = _expected(rows, meaning)
    for place, nodes, leaf in _places(operator, everywhere=alone):
        assert _run(nodes, leaf, rows, operator) == (given, failed), place


def _expected(rows: Sequence[Any], meaning: Callable[[Any], Iterable[Any]]) -> tuple[list[Any], list[Any]]:
    given: list[Any] = []
    failed = []
    for index, row in enumerate(rows):
        try:
            given += list(meaning(row))
        except Exception as exc:
            failed.append((index, type(exc)))
    return given, failed


def _places(operator: Operator, *, everywhere: bool) -> list[tuple[str, list[Node], int]]:
    places = [("alone", [Node(operator, -1)], 0)]
    if everywhere:
        places += [
            ("behind a flat_map", [Node(FlatMap(lambda row: [row], ""), -1), Node(operator, 0)], 1),
            ("beside a batch function", [Node(operator, -1), Node(MapMany(list, ""), -1)], 0),
            ("beside a coroutine", [Node(operator, -1), Node(Map(_same, ""), -1)], 0),
            ("behind a flat_map, beside a coroutine", [
                Node(FlatMap(lambda row: [row], ""), -1), Node(operator, 0), Node(Map(_same, ""), -1),
            ], 1),
        ]
    return places


async def _same(row: Any) -> Any:
    return row


def _run(nodes: list[Node], leaf: int, rows: Sequence[Any], operator: Operator) -> tuple[list[Any], list[Any]]:
    gives = operator.becomes is not Becomes.NOTHING
    chain = Chain(nodes, [leaf] if gives else [], label="s", coroutines=Coroutines(4))
    chain.open(CONTEXT)
    out = Out()
    failures = chain.run(list(rows), [out] if gives else [])
    for close in chain.closers():
        close()
    assert all(failure.operator is operator for failure in failures)
    return out.rows, [(failure.index, type(failure.error)) for failure in failures]
