"""Checks of the user's functions: callable, of the kind the verb wants, fit to travel, and fit for their rows."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, get_args

import msgspec

from penstock.errors import Mistake
from penstock.graph.annotations import element_of, open_arguments, returned_by, shown, taken_by
from penstock.graph.arity_rules import arity_mistakes
from penstock.graph.findings import Caution, mistake, mistake_from
from penstock.graph.graph import KEYS_ARE, Graph, KeyByCall, OperatorCall, SinkCall, Where
from penstock.graph.picklable import LARGE_BYTES, travel
from penstock.graph.row_types import RowType, can_take, fields_of, plain_class
from penstock.names import meant
from penstock.operators.each import Each
from penstock.operators.filter import Filter
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.map_batches import MapBatches
from penstock.operators.map_many import MapMany
from penstock.operators.operator import Operator, function_of
from penstock.operators.parse_json import ParseJson
from penstock.options import MIB, parse_duration

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
    """All mistakes of this kind."""
    for use in uses(graph, rows):
        if isinstance(use.operator, ParseJson):
            yield from _json_input(use)
            yield from json_type_mistakes(use.where, use.operator)
        elif not callable(use.operator.fn):
            yield _not_callable(use)
        else:
            yield from arity_mistakes(use.where, use.name, use.operator)
            yield from _kind(use)
            yield from _given(use)
            yield from _constructor(use)
            yield from _columns(use)
            yield from _asked(use)
            yield from _row(use)
            yield from _key(use)
    for call in graph.calls.values():
        if isinstance(call, KeyByCall) and isinstance(call.key, str):
            yield from _key_field(call, rows[call.parent])


def _json_input(use: Use) -> Iterator[Mistake]:
    if not can_take(str | bytes, use.row.type):
        yield mistake(
            use.where,
            f"{use.name} takes str or bytes, {_line(use.row, use.where)} gives {shown(use.row.type)}",
            "leave it out: these rows are no text",
        )


def json_type_mistakes(where: Where, operator: ParseJson) -> Iterator[Mistake]:
    """Whether JSON can become rows of the type at all: every row would fail otherwise."""
    try:
        msgspec.json.Decoder(operator.type)
        kind = msgspec.inspect.type_info(operator.type)
    except (TypeError, NameError) as error:
        yield mistake(where, f"{operator.name}: {error}", "name a type that msgspec can make of JSON")
        return
    if isinstance(kind, msgspec.inspect.CustomType):
        what = f"{operator.name}: no JSON becomes a {shown(operator.type)}"
        yield mistake(where, what, f"make {shown(operator.type)} a msgspec.Struct or a dataclass")


def _not_callable(use: Use) -> Mistake:
    verb = use.name.partition("(")[0]
    value = use.operator.fn
    what = f"{verb} was given {_short(value)}, which cannot be called"
    return mistake(use.where, what, f"pass the function itself: .{verb}(f), not .{verb}(f())")


def _short(value: object) -> str:
    text = repr(value)
    kind = shown(type(value))
    return "None" if value is None else f"{kind} {text}" if len(text) < 40 else f"a {kind}"


def _kind(use: Use) -> Iterator[Mistake]:
    """What calling the function gives, against what the verb needs."""
    operator, function = use.operator, function_of(use.operator.fn)
    if operator.is_async and not isinstance(operator, Map):
        remedy = ".map(f) it first, then work with what it gives"
        reason = ": a coroutine is always true" if isinstance(operator, Filter) else ""
        yield mistake(use.where, f"{use.name} is async, and only map awaits{reason}", remedy)
    elif inspect.isasyncgenfunction(function):
        yield mistake(use.where, f"{use.name} is an async generator", "gather the rows in an async map, then flat_map")
    elif isinstance(operator, Map) and inspect.isgeneratorfunction(function):
        remedy = "use .flat_map to have its items as rows"
        yield mistake(use.where, f"{use.name} gives a generator for each row", remedy)


def _given(use: Use) -> Iterator[Mistake]:
    """What the function is annotated to give, against what the verb makes of it."""
    operator, given = use.operator, returned_by(use.operator.fn)
    if isinstance(operator, Each | KeyFunction):
        return
    if given is None:
        remedy = "end the stream with .sink(f) if it is called for its effect"
        better = "return True or False" if isinstance(operator, Filter) else "return the row"
        yield mistake(use.where, f"{use.name} is annotated to give None", f"{better}, or {remedy}")
    elif isinstance(operator, FlatMap) and not _holds_rows(plain_class(given)):
        what = f"{use.name} gives {shown(given)}, and is to give an iterable of rows"
        yield mistake(use.where, what, "return a list, or use .map")


def _holds_rows(kind: type | None) -> bool:
    """False: surely nothing that rows are taken out of; a text would fall apart into letters, a dict into keys."""
    if kind is None or kind is object:
        return True
    return not issubclass(kind, str | bytes | dict) and (issubclass(kind, Iterable) or hasattr(kind, "__getitem__"))


def _constructor(use: Use) -> Iterator[Mistake]:
    operator = use.operator
    if not operator.made_in_worker:
        return
    missing = open_arguments(operator.fn, given=0)
    if missing:
        cls = operator.fn.__qualname__.rsplit("<locals>.", 1)[-1]
        yield mistake(
            use.where,
            f"{use.name}: each worker makes its own {cls}, without arguments, and it needs {', '.join(missing)}",
            f"pass an instance: {cls}({', '.join(f'{name}=...' for name in missing)})",
        )


def _columns(use: Use) -> Iterator[Mistake]:
    if isinstance(use.operator, MapBatches) and not use.operator.library:
        yield mistake(
            use.where,
            f"{use.name} does not say which columns it takes",
            "annotate its argument: pyarrow.RecordBatch, pyarrow.Table, polars.DataFrame or pandas.DataFrame",
        )


def _asked(use: Use) -> Iterator[Mistake]:
    """How many rows a batch function wants, and how long it waits for them."""
    operator = use.operator
    if not isinstance(operator, MapMany | MapBatches):
        return
    rows = operator.rows
    if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 1):
        yield mistake(use.where, f"{use.name}: rows={rows!r} is no number of at least 1", "write one like 64")
    if operator.wait is not None:
        try:
            parse_duration(operator.wait)
        except ValueError as error:
            yield mistake_from(use.where, f"{use.name}: wait", error)


def _row(use: Use) -> Iterator[Mistake]:
    if isinstance(use.operator, MapBatches):
        return
    taken = taken_by(use.operator.fn)
    if isinstance(use.operator, MapMany):
        yield from _list(use, taken)
        taken = element_of(taken)
    if not can_take(taken, use.row.type):
        yield mistake(
            use.where,
            f"{use.name} takes {shown(taken)}, {_line(use.row, use.where)} gives {shown(use.row.type)}",
            f"pass a function that takes {shown(use.row.type)}, or put a map before it that makes {shown(taken)}",
        )


def _list(use: Use, taken: Any) -> Iterator[Mistake]:
    if not can_take(list, taken):
        remedy = f"annotate its argument list[{shown(taken)}], or use .map"
        yield mistake(use.where, f"{use.name} takes {shown(taken)}, but is given a list of rows", remedy)


def _line(row: RowType, seen_from: Where) -> str:
    return f"line {row.where.line}" if row.where.file == seen_from.file else str(row.where)


def _key(use: Use) -> Iterator[Mistake]:
    if isinstance(use.operator, KeyFunction) and _is_no_key(returned_by(use.operator.fn)):
        yield mistake(use.where, f"{use.name} gives {shown(returned_by(use.operator.fn))}", KEYS_ARE)


def _key_field(call: KeyByCall, row: RowType) -> Iterator[Mistake]:
    fields = fields_of(row.type)
    if fields is None and plain_class(row.type) in (str, bytes, int, float, bool, type(None)):
        what = f"key_by({call.key!r}) names a field, {_line(row, call.where)} gives {shown(row.type)}"
        yield mistake(call.where, what, "pass a function of the row: .key_by(lambda row: ...)")
    elif fields is not None and call.key not in fields:
        what = f"{shown(row.type)} ({_line(row, call.where)}) has no field {call.key!r}"
        yield mistake(call.where, what, meant(str(call.key), fields))
    elif fields is not None and _is_no_key(fields[str(call.key)]):
        yield mistake(call.where, f"field {call.key!r} is {shown(fields[str(call.key)])}", KEYS_ARE)


def _is_no_key(annotation: Any) -> bool:
    kind = plain_class(annotation)
    if kind in (tuple, frozenset):
        return any(_is_no_key(part) for part in get_args(annotation))
    return kind in _NO_KEYS or _changes(kind)


def _changes(kind: Any) -> bool:
    """True for the classes of rows whose fields may be set anew."""
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
            f"{name} cannot be copied to the workers: {fared.problem} cannot be pickled",
            "make such things in the worker: in `open(self, context)` of a class with `__call__`",
        )
    elif fared.size * times > limit:
        yield Caution(
            where.file,
            where.line,
            f"{name} takes {fared.size * times / MIB:.1f} MiB along to every worker; make or load heavy things there: "
            "in `open(self, context)` of a class with `__call__`, or in a function given to source",
        )
