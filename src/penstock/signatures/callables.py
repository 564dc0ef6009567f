"""What is called in the end when the user's callable is called, and its name."""

from __future__ import annotations

import functools
import inspect
from typing import Any


def function_of(fn: Any) -> Any:
    """What is called in the end: of a partial its function, of an instance or an operator class its `__call__`."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.isclass(fn):
        return dir_of_instances(fn).get("__call__", fn)
    return fn if inspect.isroutine(fn) else dir_of_instances(type(fn)).get("__call__", fn)


def dir_of_instances(cls: type) -> dict[str, Any]:
    """What instances of a class find by name, over its bases; not the `__call__` of its metaclass."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        found.update(vars(base))
    return found


def fn_name(fn: Any) -> str:
    """A short name of a callable: `normalize`, `Enrich`, `lambda`, `partial(add)`."""
    if hasattr(fn, "func") and not inspect.isroutine(fn) and not inspect.isclass(fn):
        return f"partial({fn_name(fn.func)})"
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    name = name.rsplit("<locals>.", 1)[-1]
    return "lambda" if name == "<lambda>" else name
