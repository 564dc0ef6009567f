"""A block of lines decoded as JSON in one call, each line by itself; `chain` does it where parsing comes first.

Joining the lines to one document would be no faster, and would take three broken lines for three other rows.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import msgspec

from penstock.batch import Lines


def decode_block(decode: Callable[[bytes], Any], block: Lines) -> list[Any] | None:
    """A row for each line; None: some line has none, and each must be looked at in turn to say which."""
    try:
        return list(map(decode, BytesIO(block.data)))  # finds line ends faster than anything else in Python
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def decodes_without_user_code(row_type: Any) -> bool:
    """False: decoding calls methods of the row's classes, which must be watched and blamed as row functions are."""
    return not any(map(_has_hook, _classes(msgspec.inspect.type_info(row_type), set())))


def _has_hook(cls: type) -> bool:
    hooks = ("__post_init__", "__attrs_post_init__", "__attrs_pre_init__", "__attrs_attrs__")
    return any(hasattr(cls, hook) for hook in hooks) or "_missing_" in vars(cls)


def _classes(node: Any, seen: set[int]) -> list[type]:
    """The classes in a tree of `msgspec.inspect`, which may have cycles."""
    if isinstance(node, tuple):
        return [cls for part in node for cls in _classes(part, seen)]
    if not isinstance(node, (msgspec.inspect.Type, msgspec.inspect.Field)) or id(node) in seen:
        return []
    seen.add(id(node))
    cls = getattr(node, "cls", None)
    found = [cls] if isinstance(cls, type) else []
    return found + [cls for name in node.__struct_fields__ for cls in _classes(getattr(node, name), seen)]
