"""Classes that annotations of rows stand for: their fields, and whether rows of one can be rows of another."""

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

_NUMBERS = (bool, int, float, complex)


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


def required_fields(kind: Any) -> list[str]:
    """The fields of a class that a value must be given for."""
    if typing.is_typeddict(kind):
        return sorted(kind.__required_keys__)
    cls: Any = plain_class(kind)
    if hasattr(cls, "__struct_fields__"):
        without_default = len(cls.__struct_fields__) - len(cls.__struct_defaults__)
        unset = msgspec.NODEFAULT
        defaults = dict(zip(cls.__struct_fields__[without_default:], cls.__struct_defaults__, strict=True))
        return [name for name in cls.__struct_fields__ if defaults.get(name, unset) is unset]
    if dataclasses.is_dataclass(cls):
        absent = dataclasses.MISSING
        fields = [field for field in dataclasses.fields(cls) if field.init]
        return [field.name for field in fields if field.default is absent and field.default_factory is absent]
    defaults = getattr(cls, "_field_defaults", {})
    return [name for name in getattr(cls, "_fields", ()) if name not in defaults]
