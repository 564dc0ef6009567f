"""Row types along the graph: what each call gives, by annotations, and whether neighbours can be right together."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import operator
import types
import typing
from collections.abc import Iterable
from typing import Any, get_args, get_origin

import msgspec

from penstock.graph.annotations import element_of, narrowed_by, returned_by
from penstock.graph.graph import (
    BroadcastCall,
    Call,
    Graph,
    KeyByCall,
    MergeCall,
    OperatorCall,
    ResultsCall,
    SinkCall,
    SourceCall,
    StageCall,
    Where,
)
from penstock.operators.each import Each
from penstock.operators.filter import Filter
from penstock.operators.flat_map import FlatMap
from penstock.operators.map import Map
from penstock.operators.map_batches import MapBatches
from penstock.operators.map_many import MapMany
from penstock.operators.operator import Operator
from penstock.operators.parse_json import ParseJson

_NUMBERS = (bool, int, float, complex)


class RowType(msgspec.Struct, frozen=True):
    """A stream's row, and the line that decided it."""

    type: Any
    where: Where


def row_types(graph: Graph) -> dict[int, RowType]:
    """The row that each call gives, `Any` where nobody says."""
    found: dict[int, RowType] = {}
    for number, call in graph.calls.items():
        found[number] = _after(call, found)
    return found


def _after(call: Call, found: dict[int, RowType]) -> RowType:
    match call:
        case SourceCall():
            return RowType(Any if call.source is None else call.source.row_type, call.where)
        case OperatorCall():
            before = found[call.parent]
            given = type_after(call.operator, before.type)
            return before if isinstance(call.operator, Filter) and given is before.type else RowType(given, call.where)
        case MergeCall():
            return RowType(union(found[parent].type for parent in call.parents), call.where)
        case StageCall() | KeyByCall() | BroadcastCall() | SinkCall() | ResultsCall():
            return found[call.parent]


def type_after(op: Operator, before: Any) -> Any:
    """The row that an operator gives when it is given `before`."""
    match op:
        case Map():
            given = returned_by(op.fn)
            return Any if given is None else given  # None: a mistake of its own, not of the operator behind it
        case Filter():
            narrowed = narrowed_by(op.fn)
            return before if narrowed is Any else narrowed
        case FlatMap() | MapMany():
            return element_of(returned_by(op.fn))
        case MapBatches() | ParseJson():
            return op.type
        case Each():
            return None
        case _:
            return Any


def union(kinds: Iterable[Any]) -> Any:
    """What a row is that comes from any of several streams."""
    distinct = list(dict.fromkeys(kinds))
    if Any in distinct:
        return Any
    try:
        return functools.reduce(operator.or_, distinct)
    except TypeError:
        return Any


def can_take(taken: Any, given: Any) -> bool:
    """False only where a row of `given` can clearly never be one of `taken`."""
    return any(_overlap(t, g) for t in _members(taken) for g in _members(given))


def _members(annotation: Any) -> list[Any]:
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is typing.Union:
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _overlap(taken: Any, given: Any) -> bool:
    a, b = plain_class(taken), plain_class(given)
    if a is None or b is None or object in (a, b):
        return True
    if a in _NUMBERS and b in _NUMBERS:
        return _NUMBERS.index(b) <= _NUMBERS.index(a)
    if _is_open(a) or _is_open(b):
        return True
    try:
        return issubclass(b, a) or issubclass(a, b)
    except TypeError:
        return True


def _is_open(kind: type) -> bool:
    """Protocols and abstract classes: what satisfies them need not inherit from them."""
    abstract = kind.__module__ in ("typing", "collections.abc") or bool(getattr(kind, "__abstractmethods__", ()))
    return abstract or bool(getattr(kind, "_is_protocol", False))


def plain_class(annotation: Any) -> type | None:
    """The class that an annotation stands for, without its arguments; None where it is no single class."""
    if annotation is None:
        return type(None)
    if annotation is Any or get_origin(annotation) is types.UnionType:  # classes, too, as Python has it
        return None
    if typing.is_typeddict(annotation):
        return dict
    if isinstance(annotation, typing.NewType):
        return plain_class(annotation.__supertype__)
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return plain_class(get_args(annotation)[0])
    if origin is typing.Literal:
        kinds = {type(value) for value in get_args(annotation)}
        return kinds.pop() if len(kinds) == 1 else None
    found = annotation if origin is None else origin
    return found if inspect.isclass(found) else None


def fields_of(annotation: Any) -> dict[str, Any] | None:
    """Names and types of a row's fields; None where the type does not say (a dict, a type that is not known)."""
    if typing.is_typeddict(annotation):
        return dict(annotation.__annotations__)
    kind = plain_class(annotation)
    if kind is None or issubclass(kind, collections.abc.Mapping):
        return None
    names: Iterable[str] = getattr(kind, "__struct_fields__", ()) or getattr(kind, "_fields", ())
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    if not names:
        return None
    try:
        hints = typing.get_type_hints(kind)
    except Exception:  # annotations that cannot be resolved only mean: types are not known
        hints = {}
    return {name: hints.get(name, Any) for name in names}
