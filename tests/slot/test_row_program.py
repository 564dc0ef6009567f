"""Generated row programs do what a plain interpreter of the tree does; a row that fails leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.operator import Context
from penstock.operators.each import Each
from penstock.operators.event_time import EventTime
from penstock.operators.filter import Filter
from penstock.operators.flat_map import FlatMap, checked
from penstock.operators.map import Map
from penstock.operators.verb import Operator
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.user_code.async_rows import Coroutines
from penstock.slot.user_code.chain import Chain
from penstock.slot.user_code.row_program import ProgramNode, compile_program

CONTEXT = Context(pipeline="p", stage="s", slot=0, workers=1, attempt=1)


class Bad(Exception):
    """Raised by a user function; says which one."""


@dataclass
class UserFunction:
    """One operator's function: what it gives depends on the value, on which it may fail."""

    kind: type[Operator]
    number: int
    salt: int
    failing: bool
    late: bool
    """A `flat_map` that raises half-way."""

    def value(self, x: int) -> Any:
        mixed = (x * 31 + self.salt) % 97
        fails = self.failing and mixed % 5 == 0
        if self.kind is FlatMap:
            return self._many(mixed, fails)
        if fails:
            raise Bad(self.number)
        return mixed if self.kind is not Filter else mixed % 3

    def _many(self, mixed: int, fails: bool) -> Any:
        if fails and not self.late:
            raise Bad(self.number)

        def give() -> Any:
            for n in range(mixed % 4):
                yield mixed + n
            if fails:
                raise Bad(self.number)

        return give()

    def __call__(self, x: int) -> Any:
        return self.value(x)

    async def later(self, x: int) -> Any:
        if x % 3 == 0:
            await asyncio.sleep(0)
        return self.value(x)


@dataclass
class Tree:
    functions: list[UserFunction]
    parents: list[int]
    leaves: list[int]

    def operators(self, fn_of: Callable[[UserFunction], Any] = lambda function: function) -> list[Operator]:
        return [
            EventTime(fn_of(f), f"f.py:{f.number}", unit="us") if f.kind is EventTime
            else f.kind(fn_of(f), f"f.py:{f.number}")
            for f in self.functions
        ]  # fmt: skip

    @property
    def has_times(self) -> bool:
        return any(f.kind is EventTime for f in self.functions)

    def interpret(self, row: int) -> list[list[int]] | int:
        """What each leaf gets of a row, and the moments of its rows behind them, if there are any.

        Or the number of the function that failed first.
        """
        values: dict[int, list[int]] = {-1: [row]}
        moments: list[int] = []

        def visit(parent: int) -> None:
            for index in [i for i, p in enumerate(self.parents) if p == parent]:
                function, given = self.functions[index], values[parent]
                if function.kind is Map:
                    values[index] = [function.value(x) for x in given]
                elif function.kind is Filter:
                    values[index] = [x for x in given if function.value(x)]
                elif function.kind is FlatMap:
                    values[index] = [y for x in given for y in function.value(x)]
                elif function.kind is EventTime:
                    moments.extend(function.value(x) for x in given)
                    values[index] = given
                else:
                    values[index] = []
                    for x in given:
                        function.value(x)
                visit(index)

        try:
            visit(-1)
        except Bad as bad:
            return int(bad.args[0])
        return [*(values[leaf] for leaf in self.leaves), *([moments] if self.has_times else [])]


@st.composite
def trees(draw: st.DrawFn, most: int = 7) -> Tree:
    count = draw(st.integers(1, most))
    functions: list[UserFunction] = []
    parents: list[int] = []
    for number in range(count):
        kinds = [Map, Filter, FlatMap, Each, *([EventTime] if all(f.kind is not EventTime for f in functions) else [])]
        kind = draw(st.sampled_from(kinds))
        parents.append(draw(st.sampled_from([-1, *[i for i in range(number) if functions[i].kind is not Each]])))
        functions.append(
            UserFunction(kind, number, draw(st.integers(0, 96)), draw(st.booleans()), draw(st.booleans()))
        )
    giving = [-1, *[i for i in range(count) if functions[i].kind is not Each]]
    leaves = draw(st.lists(st.sampled_from(giving), max_size=4))
    return Tree(functions, parents, leaves)


rows = st.lists(st.integers(0, 1000), max_size=12)


def make_chain(tree: Tree, operators: Sequence[Operator], **options: Any) -> Chain:
    nodes = [Node(operator, parent) for operator, parent in zip(operators, tree.parents, strict=True)]
    chain = Chain(nodes, tree.leaves, label="s", **options)
    chain.open(CONTEXT)
    return chain


def check(tree: Tree, operators: Sequence[Operator], chain: Chain, given_rows: list[int], stop: bool) -> None:
    outs = [Out() for _ in range(len(tree.leaves) + tree.has_times)]
    failures = chain.run(given_rows, outs, stop_at_failure=stop)
    expected: list[list[int]] = [[] for _ in outs]
    expected_failures = []
    for index, row in enumerate(given_rows):
        result = tree.interpret(row)
        if isinstance(result, int):
            expected_failures.append((index, operators[result], result))
            if stop:
                break
            continue
        for mine, more in zip(expected, result, strict=True):
            mine.extend(more)
    if tree.has_times:  # of what one row gives, only the latest moment is told
        assert max(outs.pop().rows, default=None) == max(expected.pop(), default=None)
    assert [out.rows for out in outs] == expected
    assert [(f.index, f.operator, f.error.args[0]) for f in failures] == expected_failures


@settings(max_examples=300)
@given(trees(), rows, st.booleans())
def test_a_program_gives_what_an_interpreter_gives_and_failed_rows_leave_nothing(
    tree: Tree, given_rows: list[int], stop: bool
) -> None:
    operators = tree.operators()
    check(tree, operators, make_chain(tree, operators), given_rows, stop)


@given(trees(most=5), rows, st.booleans(), st.integers(1, 5))
def test_coroutines_give_what_an_interpreter_gives_in_the_order_of_the_rows(
    tree: Tree, given_rows: list[int], stop: bool, concurrency: int
) -> None:
    tree.functions.append(UserFunction(Map, len(tree.functions), 1, failing=False, late=False))
    tree.parents.append(-1)
    operators = tree.operators(lambda f: f.later if f.kind is Map else f)
    chain = make_chain(tree, operators, coroutines=Coroutines(concurrency))
    assert chain.is_async
    check(tree, operators, chain, given_rows, stop)
    for close in chain.closers():
        close()


def run_one(operator: Operator, given_rows: list[Any]) -> tuple[list[Any], list[Any]]:
    chain = Chain([Node(operator, -1)], [0], label="s")
    chain.open(CONTEXT)
    out = Out()
    failures = chain.run(given_rows, [out])
    return out.rows, failures


@pytest.mark.parametrize("error", [StopIteration, SystemExit, RecursionError, GeneratorExit])
def test_any_error_of_a_function_is_its_rows_alone(error: type[BaseException]) -> None:
    def f(x: int) -> int:
        if x == 1:
            raise error
        return x

    given_back, failures = run_one(Map(f, ""), [0, 1, 2])
    assert given_back == [0, 2]
    assert [(failure.index, type(failure.error)) for failure in failures] == [(1, error)]


def test_the_truth_of_a_filters_answer_is_asked_once_and_its_error_is_the_filters() -> None:
    class Moody:
        asked = 0

        def __init__(self, row: int) -> None:
            self.row = row

        def __bool__(self) -> bool:
            Moody.asked += 1
            if self.row == 1:
                raise ValueError("neither true nor false")
            return True

    operator = Filter(Moody, "f.py:1")
    given_back, failures = run_one(operator, [0, 1, 2])
    assert given_back == [0, 2]
    assert [(failure.index, failure.operator) for failure in failures] == [(1, operator)]
    assert Moody.asked == 3


@pytest.mark.parametrize("given_back", ["text", b"bytes", {"a": 1}, 5, None])
def test_a_flat_map_that_gives_no_rows_is_told(given_back: Any) -> None:
    operator = FlatMap(lambda row: given_back, "f.py:1")
    _, failures = run_one(operator, [0])
    assert [(type(failure.error), failure.operator) for failure in failures] == [(TypeError, operator)]


def test_text_is_not_a_list_of_rows() -> None:
    with pytest.raises(TypeError, match=r"\[text\] for one"):
        checked("text")


def test_a_dict_is_one_row_and_no_list_of_rows() -> None:
    with pytest.raises(TypeError, match=r"\[row\] for one, list\(it\) for its keys"):
        checked({"a": 1})


def test_a_row_in_work_is_known_while_its_function_runs() -> None:
    seen: list[int | None] = []

    def look(row: str) -> None:
        seen.append(chain.row_in_work)

    chain = Chain([Node(Each(look, ""), -1)], [], label="s")
    chain.open(CONTEXT)
    chain.run(["a", "b", "c"], [])
    assert seen == [0, 1, 2]
    assert chain.row_in_work is None


def test_a_program_is_named_after_its_stage() -> None:
    program = compile_program([ProgramNode(Map(str, ""), -1, str)], [0], "normalize")
    assert program.run.__code__.co_filename.startswith("<penstock normalize")
