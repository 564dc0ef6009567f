"""Whether the user's functions can be copied to the workers; where not, which of their variables is to blame."""

from __future__ import annotations

import functools
import inspect
import io
import sys
from collections.abc import Iterator
from typing import Any

import cloudpickle
import msgspec

from penstock.options import MIB

LARGE_BYTES = MIB


class Travel(msgspec.Struct, frozen=True):
    """How a value fares on its way to the workers."""

    size: int
    problem: str | None = None
    """What cannot travel: "its variable `db` (sqlite3.Connection)"."""


class _Trial(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles as a start does: what is at the top of a script goes by its name, though it is `__main__` here."""

    def reducer_override(self, obj: Any) -> Any:
        if getattr(obj, "__module__", None) == "__main__" and _is_imported_by_name(obj):
            return obj.__qualname__
        return super().reducer_override(obj)


def travel(value: Any) -> Travel:
    """Try it. A function that the workers import by its name does not travel at all."""
    if _is_imported_by_name(value):
        return Travel(0)
    try:
        return Travel(_pickled_size(value))
    except Exception as error:  # pickling runs the user's code, which may raise anything
        return Travel(0, _blame(value, error))


def _pickled_size(value: Any) -> int:
    buffer = io.BytesIO()
    _Trial(buffer, protocol=5).dump(value)
    return buffer.tell()


def _is_imported_by_name(value: Any) -> bool:
    """A function or class at the top of a module that is a file: `__main__` too is imported again in the workers."""
    if not (inspect.isroutine(value) or inspect.isclass(value)):
        return False
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or getattr(module, "__file__", None) is None:
        return False
    found: Any = module
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _blame(value: Any, error: Exception) -> str:
    for name, part in _variables(value):
        if part is not value and not _travels(part):
            inner = _blame(part, error) if inspect.isfunction(part) else ""
            return f"its variable `{name}` ({_kind(part)})" + (f", {inner}" if inner.startswith("its") else "")
    return f"{_kind(value)}: {error}"


def _travels(part: Any) -> bool:
    try:
        _pickled_size(part)
    except Exception:  # see `travel`
        return False
    return True


def _variables(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value takes along: captured and global variables, defaults, attributes, arguments of a partial."""
    if isinstance(value, functools.partial):
        yield from _variables(value.func)
        yield from ((f"argument {n}", arg) for n, arg in enumerate(value.args, 1))
        yield from value.keywords.items()
    elif inspect.isfunction(value):
        found = inspect.getclosurevars(value)
        yield from found.nonlocals.items()
        yield from found.globals.items()
        yield from ((name, p.default) for name, p in inspect.signature(value).parameters.items())
    elif inspect.ismethod(value):
        yield from _variables(value.__self__)
    else:
        yield from ((f"self.{name}", part) for name, part in getattr(value, "__dict__", {}).items())
        slots = (slot for cls in type(value).__mro__ for slot in getattr(cls, "__slots__", ()))
        yield from ((f"self.{slot}", getattr(value, slot)) for slot in slots if hasattr(value, slot))


def _kind(value: Any) -> str:
    kind = value if inspect.isclass(value) else type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
