"""How the rows of an edge travel, by their annotation: as msgpack where a row comes back as what it was, else pickled.

`channel/codec.py` obeys, and looks at each value too: an annotation is a promise. Pure.
"""

from __future__ import annotations

import types
import typing
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from penstock.signatures.annotations import shown

SCALARS = frozenset({int, float, str, bool, bytes, type(None)})
"""Types that msgpack gives back as they were without being told."""
TOLD = frozenset({date, datetime, timedelta, Decimal, UUID})
"""Types that it gives back where the field says so."""


class Form(Enum):
    """What rows of a type become between two workers."""

    TYPED = "msgpack, typed"
    PLAIN = "msgpack"
    OPEN = "msgpack for scalars, else pickle"
    PICKLED = "pickle"


class Travel(msgspec.Struct, frozen=True):
    """The form of an edge's rows."""

    form: Form
    structs: frozenset[type] = frozenset()
    """The classes of typed rows."""
    reason: str = ""
    """Why rows of a Struct cannot go as msgpack."""


def travel_of(row_type: Any) -> Travel:
    """How rows of this annotation travel."""
    members = typing.get_args(row_type) if is_union(row_type) else (row_type,)
    if all(isinstance(member, type) and issubclass(member, msgspec.Struct) for member in members):
        reason = next(filter(None, (_struct_obstacle(member, set()) for member in members)), None)
        if reason is None:
            reason = _undecodable(row_type)
        return Travel(Form.PICKLED, reason=reason) if reason else Travel(Form.TYPED, frozenset(members))
    if _is_plain(row_type):
        return Travel(Form.PLAIN)
    return Travel(Form.OPEN if row_type is Any or set(members) & SCALARS else Form.PICKLED)


def is_immutable(annotation: Any) -> bool:
    """True: who has a value of this type can change nothing of the row that it came from."""
    if is_union(annotation):
        return all(map(is_immutable, typing.get_args(annotation)))
    return annotation in SCALARS or annotation in TOLD or annotation is None


def is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _undecodable(row_type: Any) -> str | None:
    try:
        msgspec.msgpack.Decoder(list[row_type])
    except TypeError as exc:  # a union without tags
        return str(exc)
    return None


def _is_plain(annotation: Any) -> bool:
    """Scalars, and dicts with text keys and lists of these."""
    if annotation in SCALARS or annotation is None:
        return True
    if is_union(annotation):
        return all(_is_plain(a) for a in typing.get_args(annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return _is_plain(args[0])
    return origin is dict and args[0] is str and _is_plain(args[1])


def _struct_obstacle(struct: Any, seen: set[Any]) -> str | None:
    """Why not all that a row of this class is can be told by its fields; None: it can."""
    if struct in seen:
        return None
    seen.add(struct)
    name = struct.__name__
    if hasattr(struct, "__post_init__"):
        return f"{name} has a __post_init__, which would run again"
    if struct.__dictoffset__:
        return f"{name} keeps attributes beside its fields (dict=True)"
    try:
        fields = msgspec.structs.fields(struct)
    except (NameError, TypeError) as exc:
        return f"the annotations of {name} cannot be resolved ({exc})"
    for field in fields:
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            obstacle = _struct_obstacle(field.type, seen)
            if obstacle is not None:
                return obstacle
        elif not _is_carried(field.type, seen):
            return f"{name}.{field.name} is {shown(field.type)}"
    return None


def _is_carried(annotation: Any, seen: set[Any]) -> bool:
    """True when a value that is exactly of this type comes back from typed msgpack as what it was."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _struct_obstacle(annotation, seen) is None
    if annotation in SCALARS or annotation in TOLD or annotation is None:
        return True
    if is_union(annotation):
        return all(_is_carried(a, seen) for a in typing.get_args(annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, set, frozenset):
        return _is_carried(args[0], seen)
    if origin is tuple:
        return all(a is Ellipsis or _is_carried(a, seen) for a in args)
    return origin is dict and args[0] in (str, int) and _is_carried(args[1], seen)
