"""What every operator is to the plan: a verb, the user's function, and where it was written."""

from __future__ import annotations

import functools
import inspect
from enum import Enum
from typing import Any, ClassVar

import msgspec


class Shape(Enum):
    """How rows travel into or out of an operator."""

    ROWS = "rows"
    COLUMNS = "columns"


class Operator(msgspec.Struct, frozen=True):
    """Base of the operators; one file each beside this one.

    `fn` is a function, an instance with `__call__`, or a class whose instances are callable (made in each worker).
    """

    fn: Any
    where: str
    """file:line of the call that wrote it."""

    verb: ClassVar[str] = ""
    takes: ClassVar[Shape] = Shape.ROWS
    gives: ClassVar[Shape] = Shape.ROWS
    batch: ClassVar[bool] = False
    """True: `fn` is given many rows at once."""

    @property
    def name(self) -> str:
        """`map(f)`, as messages show it."""
        return f"{self.verb}({fn_name(self.fn)})"

    @property
    def made_in_worker(self) -> bool:
        """True: `fn` is a class whose instances are callable; each worker makes its own."""
        return inspect.isclass(self.fn) and "__call__" in dir_of_instances(self.fn)

    @property
    def is_async(self) -> bool:
        """True: calling it gives an awaitable."""
        return inspect.iscoroutinefunction(function_of(self.fn))


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
