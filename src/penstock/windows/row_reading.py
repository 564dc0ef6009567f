"""Reading a field of a row, as text for generated code: the fastest way that the row's type allows."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, get_args, get_origin

import msgspec

from penstock.signatures.annotations import returned_by
from penstock.signatures.callables import fn_name
from penstock.signatures.row_classes import fields_of, plain_class

Value: TypeAlias = str | Callable[[Any], Any] | None
"""What is read of a row: a field, what a function of the row gives, or the row itself."""


class Reading(msgspec.Struct, frozen=True):
    """How one value is read."""

    text: str
    """An expression over `row`."""
    type: Any
    """Its annotation; `Any` where nobody says."""
    function: Callable[[Any], Any] | None = None
    """What the expression calls by the name that it was made with."""

    @property
    def may_be_none(self) -> bool:
        return self.type is Any or may_be_none(self.type)


def read(row: Any, field: str) -> Any:
    """A field of a row whose type is not known."""
    return row[field] if isinstance(row, dict) else getattr(row, field)


def reading(value: Value, row_type: Any, name: str) -> Reading:
    """How a value is read of rows of a type. `name`: what its function is called in generated code."""
    if value is None:
        return Reading("row", row_type)
    if not isinstance(value, str):
        return Reading(f"{name}(row)", _given(value), value)
    fields = fields_of(row_type)
    if typing.is_typeddict(row_type):
        return Reading(f"row[{value!r}]", (fields or {}).get(value, Any))
    if fields is not None:
        return Reading(f"row.{value}", fields.get(value, Any))
    if plain_class(row_type) is dict:
        args = get_args(row_type)
        return Reading(f"row[{value!r}]", args[1] if len(args) == 2 else Any)
    return Reading(f"read(row, {value!r})", Any)


def shown_value(value: Value) -> str:
    """`"ms"`, `lambda`, `the row`, as messages show it."""
    return "the row" if value is None else repr(value) if isinstance(value, str) else fn_name(value)


def field_mistake(value: Value, row_type: Any) -> Mapping[str, Any] | None:
    """The fields there are, where `value` names one that is not among them; None: nothing is wrong."""
    fields = fields_of(row_type)
    if isinstance(value, str) and fields is not None and value not in fields:
        return fields
    return None


def may_be_none(annotation: Any) -> bool:
    """True: None is one of the values that an annotation allows."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return any(map(may_be_none, get_args(annotation)))
    return annotation is None or annotation is type(None)


def without_none(annotation: Any) -> Any:
    """What is left of an annotation once None is passed over."""
    if get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation
    kept = [part for part in get_args(annotation) if part is not type(None)]
    found = kept[0]
    for part in kept[1:]:
        found = found | part
    return found


def _given(fn: Callable[[Any], Any]) -> Any:
    given = returned_by(fn)
    return Any if given is None else given
