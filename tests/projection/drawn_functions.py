"""Functions of a row, drawn by hypothesis as source text: some only read fields, others let the row go."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from typing import Any

import msgspec
from hypothesis import strategies as st


class Row(msgspec.Struct):
    """What they are given."""

    a: int
    b: str
    c: int = 3
    d: str = ""
    tags: list[str] = []

    @property
    def both(self) -> str:
        return f"{self.a}{self.b}"

    def plus(self, more: int) -> int:
        return self.a + more


_ATOMS = ("r.a", "r.b", "r.c", "r.d", "r.a", "r.c", "1", "0", "x", "'t'", "None", "f'{r.b!r:>4}{r.a}'", "-r.c")
_OTHERS = ("r", "r.both", "r.plus(1)", "getattr(r, 'd')", "locals()['r'].d", "r.tags", "vars()['r'].c")
_DEEPER = (
    "({} + {})", "({} < {})", "({} == {})", "({} and {})", "({}, {})", "1 < {} < {}", "({} if {} else {})",
    "format({})", "str({})", "repr({})", "(x := {})", "[{} for y in (1, 2)]", "(lambda: {})()", "isinstance({}, int)",
    "(not {})", "sum({} for y in (1, 2))",
)  # fmt: skip


@st.composite
def _expression(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(_OTHERS if draw(st.integers(0, 5)) == 5 else _ATOMS))
    text = draw(st.sampled_from(_DEEPER))
    return text.format(*(draw(_expression(depth - 1)) for _ in range(text.count("{}"))))


_expressions = _expression()
_statements = st.one_of(
    _expressions.map("x = {}".format),
    st.tuples(_expressions, _expressions).map("if {0[0]}:\n    x = {0[1]}".format),
    _expressions.map("for y in (1, 2):\n    x = {}".format),
    _expressions.map("try:\n    x = {}\nexcept Exception as error:\n    x = type(error).__name__ + str(error)".format),
    _expressions.map("with nullcontext({}) as x:\n    pass".format),
    _expressions.map("if {}:\n    raise ValueError(x)".format),
    st.sampled_from(["del r", "r = x", "match r:\n    case Row(a=x):\n        pass", "globals()['g'] = r"]),
)
_numbers = count()


@st.composite
def functions(draw: st.DrawFn, *, keeps: bool = False) -> Callable[[Any], Any]:
    """`f(r)`; `keeps`: of whatever it gives only the truth counts."""
    lines = ["x = 5"]
    for statement in draw(st.lists(_statements, max_size=3)):
        lines += statement.splitlines()
    result = draw(_expressions)
    lines.append(f"return bool({result})" if keeps else f"return {result}")
    source = "def f(r):\n" + "".join(f"    {line}\n" for line in lines)
    name = f"<drawn {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    given: dict[str, Any] = {"Row": Row, "nullcontext": nullcontext}
    exec(compile(source, name, "exec"), given)
    function: Callable[[Any], Any] = given["f"]
    function.__doc__ = source
    return function


def rows() -> st.SearchStrategy[Row]:
    """Rows as they may come."""
    text = st.text(max_size=3)
    return st.builds(Row, a=st.integers(-2, 6), b=text, c=st.integers(0, 6), d=text, tags=st.lists(text, max_size=2))
