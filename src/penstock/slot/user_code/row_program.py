"""Row operators fused into one generated Python function: a loop over a batch that pays a call per user function only.

For each row everything is computed first and given out last, so a row that raises half-way (a `flat_map`, two
branches) leaves nothing behind. What a verb does with a row is the verb's own text (`operators/`); here is what becomes
of the result. `plain_rows`, `async_rows` and `batch_tree` run the programs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from penstock.operators.keyed_operator import RowLoop
from penstock.operators.undo_log import UndoLog
from penstock.operators.verb import Becomes, Operator
from penstock.slot.output.spool import Spool

_numbers = itertools.count()
NO_NAMES: Final[Mapping[str, Any]] = {}
AsRows: TypeAlias = Callable[[Iterable[Any]], list[Any]]
"""Makes a list of what a function gave as the rows of one row."""


class ProgramNode(msgspec.Struct, frozen=True):
    """A row operator, its parent within the program (-1: the row), and the function to call."""

    operator: Operator
    parent: int
    fn: Callable[[Any], Any]
    is_async: bool = False
    loop: RowLoop | None = None
    """What is done with rows, as text, if this is all that is done with them."""
    over: Callable[[Iterator[Any], list[Any]], None] | None = None
    """As `KeyedCall.over`."""


class RowProgram(msgspec.Struct, frozen=True):
    """`run(iterator, *outs)` appends to the outs; when a function raises, the row in progress has left nothing.

    Where rows' moments are noted (`Becomes.PASSED`), these have an out of their own behind the others.
    """

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


def compile_program(
    nodes: Sequence[ProgramNode], leaves: Sequence[int], label: str, *, interrupted: bool = False,
    spool: Spool | None = None, as_rows: AsRows = list, undo: UndoLog | None = None,
) -> RowProgram:
    """A loop over rows. `leaves[i]`: the node (-1: the row itself) whose results go to `outs[i]`.

    `interrupted`: a timer may raise between any two of its lines. `spool`: takes what is too much for memory; without
    one `as_rows` makes lists of what generators give. `undo`: where operators note what they write to state.
    """
    compiler = _Compiler(nodes, leaves, label, per_row=False, spool=spool, as_rows=as_rows, undo=undo)
    return compiler.compile(single_map=_is_one_map(nodes, leaves) and not interrupted and undo is None)


def compile_async_program(
    nodes: Sequence[ProgramNode], leaves: Sequence[int], label: str, *, as_rows: AsRows = list
) -> RowProgram:
    """A coroutine for one row: `await run(row, *outs)`."""
    return _Compiler(nodes, leaves, label, per_row=True, as_rows=as_rows).compile()


def over_rows(operator: Operator, fn: Callable[[Any], Any], label: str, as_rows: AsRows) -> AsRows:
    """What one operator makes of a list of rows, as a function. It gives a list, and the caller's stays as it is."""
    compiler = _Compiler([ProgramNode(operator, -1, fn)], [], label, per_row=False, as_rows=as_rows)
    return compiler.compile_over_rows()


def _is_one_map(nodes: Sequence[ProgramNode], leaves: Sequence[int]) -> bool:
    """True: all that is done is one call for each row, which needs no loop of ours."""
    if len(nodes) != 1 or list(leaves) != [0]:
        return False
    operator = nodes[0].operator
    return operator.becomes is Becomes.ROW and operator.code(lambda row: f"f({row})", "row") == "f(row)"


class _Compiler:
    def __init__(
        self, nodes: Sequence[ProgramNode], leaves: Sequence[int], label: str, *, per_row: bool,
        spool: Spool | None = None, as_rows: AsRows, undo: UndoLog | None = None,
    ) -> None:
        self._spool = spool
        self._as_rows = as_rows
        self._undo = undo
        self._nodes = nodes
        self._leaves = leaves
        self._per_row = per_row
        self._filename = f"<penstock {label} {next(_numbers)}>"
        self._lines: list[str] = []
        self._operator_of_line: dict[int, Operator] = {}
        self._emits: list[tuple[int, str]] = []
        """(indent, statement) of what is given out, after all is computed."""

    def compile(self, *, single_map: bool = False) -> RowProgram:
        notes = int(any(node.operator.becomes is Becomes.PASSED for node in self._nodes))
        count = len(self._leaves) + notes
        outs = "".join(f", out{i}" for i in range(count))
        loop = self._nodes[0].loop if self._is_one_loop() else None
        if loop is not None:
            self._write_loop(loop, outs)
            return self._compiled(loop.names)
        if single_map:
            self._write_single_map()
            return self._compiled()
        if self._per_row:
            self._lines.append(f"async def run(row{outs}):")
            base = 1
        else:
            self._lines.append(f"def run(rows{outs}):")
            self._lines.extend(f"    add{i} = out{i}.append" for i in range(count))
            self._lines.append("    for row in rows:")
            base = 2
        if self._undo is not None:
            self._write(base, "begin()")
        self._one(-1, "row", base)
        self._write_emits(base)
        if len(self._lines) == 1 or (not self._per_row and self._lines[-1].endswith("for row in rows:")):
            self._lines.append("    " * base + "pass")
        return self._compiled()

    def compile_over_rows(self) -> AsRows:
        self._lines.append("def run(rows):")
        if self._nodes[0].operator.becomes is Becomes.NOTHING:
            self._write(1, f"for x in rows: {self._code(0, 'x')}")
            self._write(1, "return []")
        else:
            self._write(1, f"return [{self._each(0, 'rows', in_list=True)}]")
        run: AsRows = self._compiled().run
        return run

    def _is_one_loop(self) -> bool:
        """True: what comes in goes to one node, and what that gives, it gives later."""
        return len(self._nodes) == 1 and -1 not in self._leaves and self._undo is None and not self._per_row

    def _write_loop(self, loop: RowLoop, outs: str) -> None:
        self._lines.append(f"def run(rows{outs}):")
        for line in loop.before:
            self._write(1, line)
        self._write(1, "for row in rows:")
        for line in loop.lines:
            self._write(2, line, self._nodes[0])

    def _compiled(self, names: Mapping[str, Any] = NO_NAMES) -> RowProgram:
        namespace: dict[str, Any] = {f"f{i}": node.fn for i, node in enumerate(self._nodes)}
        namespace.update(names)
        for node in self._nodes:
            namespace.update(node.operator.code_names)
        namespace["as_rows"], namespace["over"] = self._as_rows, self._nodes[0].over if self._nodes else None
        if self._spool is not None:
            namespace["as_rows"], namespace["give"] = self._spool.as_rows, self._spool.give
        if self._undo is not None:
            namespace["begin"] = self._undo.begin
        source = "\n".join(self._lines)
        exec(compile(source, self._filename, "exec"), namespace)  # the code of the plan's own tree, no user text
        return RowProgram(namespace["run"], source, self._operator_of_line)

    def _write_single_map(self) -> None:
        """Rows that were through before one that raises stay in the list, as after a loop of ours."""
        self._lines.append("def run(rows, out0):")
        if self._nodes[0].over is not None:
            self._write(1, "over(rows, out0)", self._nodes[0])
            return
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

    def _code(self, index: int, var: str) -> str:
        """The verb's text for the row in a variable."""
        wait = "await " if self._nodes[index].is_async else ""
        return self._nodes[index].operator.code(
            lambda row: f"(await f{index}({row}))" if wait else f"f{index}({row})", var
        )

    # What becomes of one value.

    def _one(self, parent: int, var: str, indent: int) -> None:
        for out in self._leaf_outs(parent):
            self._emits.append((indent, f"{self._add(out)}({var})"))
        for index in self._children(parent):
            node, name, code = self._nodes[index], f"v{index}", self._code(index, var)
            match node.operator.becomes:
                case Becomes.ROW:
                    self._write(indent, f"{name} = {code}", node)
                    self._one(index, name, indent)
                case Becomes.KEPT:
                    # `not not`: its truth is asked once, and what asking raises is the operator's.
                    self._write(indent, f"{name} = not not {code}", node)
                    self._if_kept(index, name, var, indent)
                case Becomes.ROWS:
                    self._write(indent, f"{name} = as_rows({code})", node)
                    self._many(index, name, indent)
                case Becomes.NOTHING:
                    self._write(indent, code, node)
                case Becomes.PASSED:
                    self._write(indent, f"{name} = {code}", node)
                    self._emits.append((indent, f"{self._add(len(self._leaves))}({name})"))
                    self._one(index, var, indent)

    def _add(self, out: int) -> str:
        return f"out{out}.append" if self._per_row else f"add{out}"

    def _if_kept(self, index: int, kept: str, var: str, indent: int) -> None:
        self._write(indent, f"if {kept}:")
        self._emits.append((indent, f"if {kept}:"))
        mark, written = len(self._emits), len(self._lines)
        self._one(index, var, indent + 1)
        if len(self._lines) == written:
            self._write(indent + 1, "pass")
        if len(self._emits) == mark:
            self._emits.append((indent + 1, "pass"))

    # What becomes of a list of values.

    def _many(self, parent: int, var: str, indent: int) -> None:
        for out in self._leaf_outs(parent):
            extend = f"out{out}.extend({var})"
            if self._spool is not None:
                extend = f"{extend} if {var}.__class__ is list else give({out}, {var})"
            self._emits.append((indent, extend))
        for index in self._children(parent):
            node, name = self._nodes[index], f"v{index}"
            if node.operator.becomes is Becomes.NOTHING:
                self._write(indent, f"for x in {var}: {self._code(index, 'x')}", node)
                continue
            if node.operator.becomes is Becomes.PASSED:  # of all that a row gives, the latest moment
                self._write(indent, f"{name} = max(map(f{index}, {var}), default=None)", node)
                self._emits.append((indent, f"if {name} is not None: {self._add(len(self._leaves))}({name})"))
                self._many(index, var, indent)
                continue
            self._write(indent, f"{name} = {self._list(index, var)}", node)
            self._many(index, name, indent)

    def _list(self, index: int, var: str) -> str:
        """A list, or a file of rows: where `var` is one, or where it is too much for memory."""
        if self._spool is None:
            return f"[{self._each(index, var, in_list=True)}]"
        each = self._each(index, var, in_list=False)
        if self._nodes[index].operator.becomes is Becomes.ROWS:
            return f"as_rows({each})"  # which counts what all of them give
        return f"[{each}] if {var}.__class__ is list else as_rows({each})"

    def _each(self, index: int, var: str, *, in_list: bool) -> str:
        """The inside of a comprehension over `var`. `in_list`: what one row gives must be a list before it counts."""
        code = self._code(index, "x")
        match self._nodes[index].operator.becomes:
            case Becomes.KEPT:
                return f"x for x in {var} if {code}"
            case Becomes.ROWS:
                return f"y for x in {var} for y in {f'as_rows({code})' if in_list else code}"
            case _:
                return f"{code} for x in {var}"
