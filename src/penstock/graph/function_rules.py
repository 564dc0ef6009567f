"""Checks of the user's functions: callable, of the kind the verb wants, fit to travel, and fit for their rows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, get_args

import msgspec

from penstock.errors import Mistake
from penstock.graph.arity_rules import arity_mistakes
from penstock.graph.findings import Caution, mistake
from penstock.graph.graph import KEYS_ARE, Graph, KeyByCall, OperatorCall, SinkCall, Where
from penstock.graph.picklable import LARGE_BYTES, travel
from penstock.graph.row_types import RowType
from penstock.names import did_you_mean
from penstock.operators.each import Each
from penstock.operators.verb import Operator
from penstock.options import MIB
from penstock.signatures.annotations import open_arguments, returned_by, shown
from penstock.signatures.callables import function_of
from penstock.signatures.row_classes import can_take, fields_of, plain_class

_NO_KEYS = (complex, list, dict, set, bytearray)


class Use(msgspec.Struct, frozen=True):
    """One function of the user in its place."""

    where: Where
    name: str
    """`map(score)`, as messages show it."""
    operator: Operator
    """The key function of a `key_by` counts as an operator of the verb "key_by"."""
    row: RowType


class KeyFunction(Operator, frozen=True):
    """What `key_by` was given, in the form of an operator, so that the same checks serve."""

    verb: ClassVar[str] = "key_by"
    needs_result: ClassVar[str] = ""

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        given = returned_by(self.fn)
        if _is_no_key(given):
            yield f"{name} returns {shown(given)}", KEYS_ARE


def uses(graph: Graph, rows: Mapping[int, RowType]) -> Iterator[Use]:
    """Every function in the graph."""
    for call in graph.calls.values():
        match call:
            case OperatorCall():
                operator: Operator = call.operator
            case KeyByCall() if not isinstance(call.key, str):
                operator = KeyFunction(call.key, str(call.where))
            case SinkCall(sink=Each() as each):
                operator = each
            case _:
                continue
        name = f"sink{operator.name[4:]}" if isinstance(operator, Each) else operator.name
        yield Use(call.where, name, operator, rows[call.parent])


def function_mistakes(graph: Graph, rows: Mapping[int, RowType]) -> Iterator[Mistake]:
    """All mistakes of this kind: those of every function, and what a verb says of its own."""
    for use in uses(graph, rows):
        operator = use.operator
        if operator.has_function and not callable(operator.fn):
            yield _not_callable(use)
            continue
        if operator.has_function:
            yield from arity_mistakes(use.where, use.name, operator)
            yield from _kind(use)
            yield from _constructor(use)
        for what, remedy in operator.mistakes(use.name):
            yield mistake(use.where, what, remedy)
        for what, remedy in operator.mistakes_with(use.row.type):
            yield mistake(use.where, what, remedy)
        yield from _row(use)
    for call in graph.calls.values():
        if isinstance(call, KeyByCall) and isinstance(call.key, str):
            yield from _key_field(call, rows[call.parent])


def _not_callable(use: Use) -> Mistake:
    verb, value = _verb(use), use.operator.fn
    what = f"{verb} was given {_short(value)}, which cannot be called"
    return mistake(use.where, what, f"pass the function itself: .{verb}(f), not .{verb}(f())")


def _verb(use: Use) -> str:
    """As the user wrote it: `sink`, where the operator is an `each`."""
    return use.name.partition("(")[0]


def _short(value: object) -> str:
    text = repr(value)
    kind = shown(type(value))
    return "None" if value is None else f"{kind} {text}" if len(text) < 40 else f"a {kind}"


def _kind(use: Use) -> Iterator[Mistake]:
    """What calling the function gives, against what the verb needs."""
    operator = use.operator
    if operator.is_async and not operator.awaits:
        remedy = ".map(f) it first, then work with what it gives"
        reason = f": {operator.unawaited}" if operator.unawaited else ""
        yield mistake(use.where, f"{use.name} is async, but {_verb(use)} does not await it{reason}", remedy)
    elif inspect.isasyncgenfunction(function_of(operator.fn)):
        yield mistake(use.where, f"{use.name} is an async generator", "gather the rows in an async map, then flat_map")
    if operator.needs_result and returned_by(operator.fn) is None:
        remedy = f"{operator.needs_result}, or end the stream with .sink(f) if it is called for its effect"
        yield mistake(use.where, f"{use.name} is annotated to return None", remedy)


def _constructor(use: Use) -> Iterator[Mistake]:
    operator = use.operator
    if not operator.made_in_worker:
        return
    missing = open_arguments(operator.fn, given=0)
    if missing:
        cls = operator.fn.__qualname__.rsplit("<locals>.", 1)[-1]
        yield mistake(
            use.where,
            f"{use.name}: each worker creates its own {cls} without arguments, but it needs {', '.join(missing)}",
            f"pass an instance: {cls}({', '.join(f'{name}=...' for name in missing)})",
        )


def _row(use: Use) -> Iterator[Mistake]:
    taken = use.operator.row_taken
    if not can_take(taken, use.row.type):
        what = f"{use.name} takes {shown(taken)}, but {_line(use.row, use.where)} gives {shown(use.row.type)}"
        yield mistake(use.where, what, use.operator.remedy_for_rows(use.row.type))


def _line(row: RowType, seen_from: Where) -> str:
    return f"line {row.where.line}" if row.where.file == seen_from.file else str(row.where)


def _key_field(call: KeyByCall, row: RowType) -> Iterator[Mistake]:
    fields = fields_of(row.type)
    if fields is None and plain_class(row.type) in (str, bytes, int, float, bool, type(None)):
        what = f"key_by({call.key!r}) names a field, but {_line(row, call.where)} gives {shown(row.type)}"
        yield mistake(call.where, what, "pass a function of the row: .key_by(lambda row: ...)")
    elif fields is not None and call.key not in fields:
        what = f"{shown(row.type)} ({_line(row, call.where)}) has no field {call.key!r}"
        yield mistake(call.where, what, did_you_mean(str(call.key), fields))
    elif fields is not None and _is_no_key(fields[str(call.key)]):
        yield mistake(call.where, f"field {call.key!r} is {shown(fields[str(call.key)])}", KEYS_ARE)


def _is_no_key(annotation: Any) -> bool:
    kind = plain_class(annotation)
    if kind in (tuple, frozenset):
        return any(_is_no_key(part) for part in get_args(annotation))
    return kind in _NO_KEYS or _changes(kind)


def _changes(kind: Any) -> bool:
    """True for the classes of rows whose fields may be assigned to."""
    settings = getattr(kind, "__dataclass_params__", None) or getattr(kind, "__struct_config__", None)
    return settings is not None and not settings.frozen


def travel_findings(
    where: Where, name: str, value: object, *, times: float = 1.0, limit: int = LARGE_BYTES
) -> Iterator[Mistake | Caution]:
    """Whether something of the user's can be copied to the workers; `value` may be the `times`th part of it."""
    fared = travel(value)
    if fared.problem is not None:
        yield mistake(
            where,
            f"{name} cannot be sent to the workers: {fared.problem} cannot be pickled",
            "create such objects in the worker: in `open(self, context)` of a class with `__call__`",
        )
    elif fared.size * times > limit:
        yield Caution(
            where.file,
            where.line,
            f"{name} takes {fared.size * times / MIB:.1f} MiB along to every worker; make or load heavy things there: "
            "in `open(self, context)` of a class with `__call__`, or in a function given to source",
        )
