"""Annotations told down to their fields: what must be the same where rows that were stored are read again."""

from __future__ import annotations

import inspect
import types
from typing import Any, Union, get_args, get_origin

from penstock.signatures.annotations import shown
from penstock.signatures.row_classes import fields_of


def described_type(annotation: Any) -> str:
    """A row type down to its fields: one that gained a field is another one, whatever it is called."""
    return _described(annotation, ())


def _described(annotation: Any, inside: tuple[Any, ...]) -> str:
    args = [part for part in get_args(annotation) if not isinstance(part, list)]
    origin = get_origin(annotation)
    if origin in (types.UnionType, Union):
        return " | ".join(sorted(_described(part, inside) for part in args))
    if args and all(_is_type(part) for part in args):
        name = origin.__name__ if inspect.isclass(origin) else str(origin)
        return f"{name}[{', '.join(_described(part, inside) for part in args)}]"
    fields = None if annotation in inside else fields_of(annotation)
    if not fields:
        return shown(annotation)
    shape = ", ".join(f"{name}: {_described(kind, (*inside, annotation))}" for name, kind in fields.items())
    return f"{shown(annotation)}({shape})"


def _is_type(part: Any) -> bool:
    return part is Any or inspect.isclass(part) or get_origin(part) is not None
