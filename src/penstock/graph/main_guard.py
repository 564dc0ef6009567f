"""Names that a script sets under `if __name__ == "__main__":`, where functions that run in workers read them.

Workers import the script, and what stands under the guard is not run then. Only what the text of the file and the
functions' code show is seen: no names in `exec`, none that a function of the guard sets as `global`.
"""

from __future__ import annotations

import ast
import dis
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from penstock.graph.findings import Caution
from penstock.graph.function_rules import uses
from penstock.graph.graph import Graph, SourceCall, Where
from penstock.graph.row_types import RowType
from penstock.sequences import CallableSource
from penstock.signatures.callables import fn_name

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_READS = ("LOAD_GLOBAL", "LOAD_NAME")


def guard_cautions(
    graph: Graph, rows: Mapping[int, RowType], lines_of: Callable[[str], Sequence[str]]
) -> Iterator[Caution]:
    """One for each function of the user and name. `lines_of`: the text of a file, empty where there is none."""
    files = _Files(lines_of)
    for where, name, fn in _functions(graph, rows):
        for read, line, reader in sorted(_found(fn, files)):
            yield Caution(where.file, where.line, _told(name, read, line, reader))


def _told(name: str, read: str, line: int, reader: str) -> str:
    by = f"{name} is" if read == reader else f"{name} reads {read!r}, which is"
    return (
        f'{by} set under `if __name__ == "__main__":` (line {line}), so it is missing in workers, which import '
        "the file; set it above that line, or bind it with functools.partial"
    )


def _functions(graph: Graph, rows: Mapping[int, RowType]) -> Iterator[tuple[Where, str, Any]]:
    for use in uses(graph, rows):
        yield use.where, use.name, use.operator.fn
    for call in graph.calls.values():
        if isinstance(call, SourceCall) and isinstance(call.source, CallableSource):
            yield call.where, f"source({fn_name(call.source.fn)})", call.source.fn


class _Files(msgspec.Struct):
    lines_of: Callable[[str], Sequence[str]]
    known: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)

    def guarded(self, file: str) -> dict[str, int]:
        """Names that the guard of a file alone sets, with the line."""
        if file not in self.known:
            self.known[file] = guarded_names("".join(self.lines_of(file)))
        return self.known[file]


def _found(fn: Any, files: _Files) -> set[tuple[str, int, str]]:
    """(name, line where it is set, function that reads it), over all functions of the same file that are called."""
    found: set[tuple[str, int, str]] = set()
    seen: set[types.CodeType] = set()
    todo = list(_plain_functions(fn))
    while todo:
        function = todo.pop()
        if function.__code__ in seen:
            continue
        seen.add(function.__code__)
        names = set(_global_names(function.__code__))
        if "<" not in function.__qualname__:  # what a lambda reads travels with it, by value
            guarded = files.guarded(function.__code__.co_filename)
            own = function.__qualname__.partition(".")[0]
            found |= {(name, guarded[name], function.__qualname__) for name in names | {own} if name in guarded}
        for name in names:
            called = function.__globals__.get(name)
            todo += [f for f in _plain_functions(called) if f.__globals__ is function.__globals__]
    return found


def _plain_functions(fn: Any) -> Iterable[types.FunctionType]:
    """The functions in Python that calling it may run; of an object those of its class."""
    while hasattr(fn, "func") and not inspect.isroutine(fn) and not inspect.isclass(fn):
        fn = fn.func
    if inspect.ismethod(fn):
        return _plain_functions(fn.__func__)
    if inspect.isfunction(fn):
        return [fn]
    if not callable(fn):
        return []
    members = vars(fn if inspect.isclass(fn) else type(fn)).values()
    return [member for member in members if inspect.isfunction(member)]


def _global_names(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _READS:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def guarded_names(text: str) -> dict[str, int]:
    """Names that a module sets under its main guard and nowhere else, with the line where."""
    if "__main__" not in text:
        return {}
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}  # another file than the one that runs
    guards = [statement for statement in module.body if isinstance(statement, ast.If) and _is_guard(statement)]
    under = {name: line for guard in guards for name, line in _set_in(guard.body)}
    others = [s for s in module.body if s not in guards] + [s for guard in guards for s in guard.orelse]
    elsewhere = {name for name, _ in _set_in(others)} | set(_declared_global(module))
    return {name: line for name, line in under.items() if name not in elsewhere}


def _is_guard(statement: ast.If) -> bool:
    match statement.test:
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return {ast.unparse(left), ast.unparse(right)} == {"__name__", "'__main__'"}
    return False


def _set_in(body: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """Names set by statements, and by those in them; not what functions and classes keep for themselves."""
    for node in body:
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                for alias in names:
                    yield alias.asname or alias.name.partition(".")[0], node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno
        if not isinstance(node, _SCOPES):
            yield from _set_in(ast.iter_child_nodes(node))


def _declared_global(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Global):
            yield from node.names
