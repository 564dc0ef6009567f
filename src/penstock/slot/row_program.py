"""Row operators fused into one generated Python function: a loop over a batch that pays a call per user function only.

For each row everything is computed first and given out last, so a row that raises half-way (a `flat_map`, two
branches) leaves nothing behind. A single function needs no loop of ours. `chain` runs the programs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from penstock.operators.each import Each
from penstock.operators.filter import Filter
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.operator import Operator
from penstock.slot.spool import Spool

_numbers = itertools.count()
AsRows: TypeAlias = Callable[[Iterable[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class ProgramNode:
    """A row operator, its parent within the program (-1: the row), and the function to call."""

    operator: Operator
    parent: int
    fn: Callable[[Any], Any]
    is_async: bool = False


@dataclass(frozen=True, slots=True)
class RowProgram:
    """`run(iterator, *outs)` appends to the outs; when a function raises, the row in work has left nothing."""

    run: Callable[..., Any]
    source: str
    operator_of_line: dict[int, Operator]
    """Which operator a line of the generated code calls."""

    def operator_at(self, error: BaseException) -> Operator | None:
        """The operator that raised, by the traceback."""
        traceback, found = error.__traceback__, None
        while traceback is not None:
            if traceback.tb_frame.f_code is self.run.__code__:
                found = self.operator_of_line.get(traceback.tb_lineno)
            traceback = traceback.tb_next
        return found


def checked(result: Iterable[Any]) -> Iterable[Any]:
    """What a `flat_map` function gave. Raises `TypeError` where that is one row, whose letters or keys nobody means."""
    if isinstance(result, (str, bytes, dict)):
        raise TypeError(_one_row(result))
    return result


def _one_row(result: object) -> str:
    kind = type(result).__name__
    if isinstance(result, dict):
        return f"a flat_map function gave {kind}; give an iterable of rows, [row] for one, list(it) for its keys"
    return f"a flat_map function gave {kind}; give an iterable of rows, [text] for one"


def as_rows(result: Iterable[Any]) -> list[Any]:
    """The same as a list."""
    return list(checked(result))


def compile_program(
    nodes: Sequence[ProgramNode], leaves: Sequence[int], label: str, *, interrupted: bool = False,
    spool: Spool | None = None, as_rows: AsRows = as_rows,
) -> RowProgram:
    """A loop over rows. `leaves[i]`: the node (-1: the row itself) whose results go to `outs[i]`.

    `interrupted`: a timer may raise between any two of its lines. `spool`: takes what is too much for memory; without
    one `as_rows` makes lists of what generators give.
    """
    is_one_map = len(nodes) == 1 and isinstance(nodes[0].operator, Map) and list(leaves) == [0]
    compiler = _Compiler(nodes, leaves, label, per_row=False, spool=spool, as_rows=as_rows)
    return compiler.compile(single_map=is_one_map and not interrupted)


def compile_async_program(
    nodes: Sequence[ProgramNode], leaves: Sequence[int], label: str, *, as_rows: AsRows = as_rows
) -> RowProgram:
    """A coroutine for one row: `await run(row, *outs)`."""
    return _Compiler(nodes, leaves, label, per_row=True, as_rows=as_rows).compile()


class _Compiler:
    def __init__(
        self, nodes: Sequence[ProgramNode], leaves: Sequence[int], label: str, *, per_row: bool,
        spool: Spool | None = None, as_rows: AsRows,
    ) -> None:
        self._spool = spool
        self._as_rows = as_rows
        self._nodes = nodes
        self._leaves = leaves
        self._per_row = per_row
        self._filename = f"<penstock {label} {next(_numbers)}>"
        self._lines: list[str] = []
        self._operator_of_line: dict[int, Operator] = {}
        self._emits: list[tuple[int, str]] = []
        """(indent, statement) of what is given out, after all is computed."""

    def compile(self, *, single_map: bool = False) -> RowProgram:
        outs = "".join(f", out{i}" for i in range(len(self._leaves)))
        if single_map:
            self._write_single_map()
            return self._compiled()
        if self._per_row:
            self._lines.append(f"async def run(row{outs}):")
            base = 1
        else:
            self._lines.append(f"def run(rows{outs}):")
            self._lines.extend(f"    add{i} = out{i}.append" for i in range(len(self._leaves)))
            self._lines.append("    for row in rows:")
            base = 2
        self._one(-1, "row", base)
        self._write_emits(base)
        if len(self._lines) == 1 or (not self._per_row and self._lines[-1].endswith("for row in rows:")):
            self._lines.append("    " * base + "pass")
        return self._compiled()

    def _compiled(self) -> RowProgram:
        namespace: dict[str, Any] = {f"f{i}": node.fn for i, node in enumerate(self._nodes)}
        namespace["checked"], namespace["as_rows"] = checked, self._as_rows
        if self._spool is not None:
            namespace["as_rows"], namespace["give"] = self._spool.as_rows, self._spool.give
        source = "\n".join(self._lines)
        exec(compile(source, self._filename, "exec"), namespace)  # the code of the plan's own tree, no user text
        return RowProgram(namespace["run"], source, self._operator_of_line)

    def _write_single_map(self) -> None:
        """Rows that were through before one that raises stay in the list, as after a loop of ours."""
        self._lines.append("def run(rows, out0):")
        self._write(1, "due = len(out0) + rows.__length_hint__()")
        self._write(1, "out0.extend(map(f0, rows))", self._nodes[0])
        # To `extend`, a function that raises StopIteration is an iterator at its end.
        self._write(1, "if len(out0) != due:")
        self._write(2, "raise StopIteration('raised by the function')", self._nodes[0])

    def _write(self, indent: int, text: str, node: ProgramNode | None = None) -> None:
        self._lines.append("    " * indent + text)
        if node is not None:
            self._operator_of_line[len(self._lines)] = node.operator

    def _write_emits(self, base: int) -> None:
        for indent, statement in self._emits:
            self._write(indent, statement)

    def _children(self, parent: int) -> list[int]:
        return [i for i, node in enumerate(self._nodes) if node.parent == parent]

    def _leaf_outs(self, node: int) -> list[int]:
        return [out for out, leaf in enumerate(self._leaves) if leaf == node]

    def _one(self, parent: int, var: str, indent: int) -> None:
        """What follows on a single value."""
        for out in self._leaf_outs(parent):
            add = f"out{out}.append" if self._per_row else f"add{out}"
            self._emits.append((indent, f"{add}({var})"))
        for index in self._children(parent):
            node, name = self._nodes[index], f"v{index}"
            wait = "await " if node.is_async else ""
            match node.operator:
                case Filter():
                    # `not not`: its truth is asked once, and what asking raises is the operator's.
                    self._write(indent, f"{name} = not not {wait}f{index}({var})", node)
                    self._write(indent, f"if {name}:")
                    self._emits.append((indent, f"if {name}:"))
                    mark, written = len(self._emits), len(self._lines)
                    self._one(index, var, indent + 1)
                    if len(self._lines) == written:
                        self._write(indent + 1, "pass")
                    if len(self._emits) == mark:
                        self._emits.append((indent + 1, "pass"))
                case FlatMap():
                    self._write(indent, f"{name} = as_rows(checked({wait}f{index}({var})))", node)
                    self._many(index, name, indent)
                case Each():
                    self._write(indent, f"{wait}f{index}({var})", node)
                case _:
                    self._write(indent, f"{name} = {wait}f{index}({var})", node)
                    self._one(index, name, indent)

    def _many(self, parent: int, var: str, indent: int) -> None:
        """What follows on a list of values."""
        for out in self._leaf_outs(parent):
            extend = f"out{out}.extend({var})"
            if self._spool is not None:
                extend = f"{extend} if {var}.__class__ is list else give({out}, {var})"
            self._emits.append((indent, extend))
        for index in self._children(parent):
            node, name = self._nodes[index], f"v{index}"
            wait = "await " if node.is_async else ""
            match node.operator:
                case Filter():
                    self._list(indent, name, f"x for x in {var} if {wait}f{index}(x)", var, node)
                case FlatMap():
                    rows = f"checked({wait}f{index}(x))"
                    if self._spool is None:  # which counts what all of them give
                        rows = f"as_rows({rows})"
                    self._list(indent, name, f"y for x in {var} for y in {rows}", "", node)
                case Each():
                    self._write(indent, f"for x in {var}: {wait}f{index}(x)", node)
                    continue
                case _:
                    self._list(indent, name, f"{wait}f{index}(x) for x in {var}", var, node)
            self._many(index, name, indent)

    def _list(self, indent: int, name: str, each: str, var: str, node: ProgramNode) -> None:
        """`name` is a list of `each`, or in a file: where `var` is, or (no `var`) where it is too much for memory."""
        made = f"[{each}]"
        if self._spool is not None:
            made = f"{made} if {var}.__class__ is list else as_rows({each})" if var else f"as_rows({each})"
        self._write(indent, f"{name} = {made}", node)
