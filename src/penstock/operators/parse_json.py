"""`parse_json`: text to objects, line by line or a whole block of lines in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any, ClassVar

import msgspec

from penstock.batch import Lines
from penstock.operators.verb import Operator
from penstock.signatures.annotations import shown


class ParseJson(Operator, frozen=True):
    """Each row (str or bytes) is one JSON document, decoded and checked against `type`. `fn` is None."""

    verb: ClassVar[str] = "parse_json"
    has_function: ClassVar[bool] = False

    type: Any = Any

    @property
    def name(self) -> str:
        return f"parse_json({getattr(self.type, '__name__', str(self.type))})"

    def function(self) -> Callable[[Any], Any]:
        return msgspec.json.Decoder(self.type).decode

    def rows_of_lines(self, fn: Callable[[Any], Any]) -> Callable[[Lines], list[Any] | None] | None:
        return partial(decode_block, fn) if decodes_without_user_code(self.type) else None

    @property
    def row_taken(self) -> Any:
        return str | bytes

    def row_given(self, before: Any) -> Any:
        return self.type

    def mistakes(self, name: str) -> Iterator[tuple[str, str]]:
        """Whether JSON can become rows of the type at all: every row would fail otherwise."""
        try:
            msgspec.json.Decoder(self.type)
            kind = msgspec.inspect.type_info(self.type)
        except (TypeError, NameError) as error:
            yield f"{name}: {error}", "name a type that msgspec can decode JSON into"
            return
        if isinstance(kind, msgspec.inspect.CustomType):
            remedy = f"make {shown(self.type)} a msgspec.Struct or a dataclass"
            yield f"{name}: JSON cannot be decoded into a {shown(self.type)}", remedy

    def remedy_for_rows(self, given: Any) -> str:
        return "leave it out: these rows are not text"


def decode_block(decode: Callable[[bytes], Any], block: Lines) -> list[Any] | None:
    """A row for each line; None: some line has none, and each must be looked at in turn to say which.

    Joining the lines to one document would be no faster, and would take three broken lines for three other rows.
    """
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
