"""Whether a function can be called with what its verb gives it: the row (or rows, or columns), or more than that."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any

from penstock.errors import Mistake
from penstock.graph.findings import mistake
from penstock.graph.graph import Where
from penstock.operators.verb import Operator
from penstock.signatures.callables import dir_of_instances, fn_name

_NUMBERS = ("no", "one", "two", "three")


def arity_mistakes(where: Where, name: str, operator: Operator) -> Iterator[Mistake]:
    """What is without a signature, as some builtins are, is let through. `name`: `map(f)`, as messages show it."""
    parameters = _parameters(operator)
    if parameters is None:
        return
    verb, short = name.partition("(")[0], fn_name(operator.fn)
    arguments = operator.arguments
    given, missing = " and ".join(arguments), _missing(parameters, len(arguments))
    takes = _takes(parameters, len(arguments))
    if takes < len(arguments):
        has, numbers = _NUMBERS[takes], _NUMBERS[len(arguments)]
        what = f"{name} takes {has} argument{'' if takes == 1 else 's'}, but is called with {numbers}, {given}"
        lacking = " and ".join(arguments[takes:])
        yield mistake(where, what, f"give {_called(operator, short)} an argument for {lacking}")
    elif missing:
        called = f"{_NUMBERS[len(arguments)]} argument{'' if len(arguments) == 1 else 's'}"
        what = f"{name} is called with {called}, {given}, but also needs {', '.join(missing)}"
        bound = ", ".join(f"{argument}=..." for argument in missing)
        remedy = f"bind what is the same for all: .{verb}(functools.partial({short}, {bound}))"
        yield mistake(where, what, f"make them attributes of {short}" if _is_object(operator) else remedy)


def _parameters(operator: Operator) -> list[inspect.Parameter] | None:
    """Those that a call may fill; None: not known.

    A decorator's own signature counts, not that of what it wraps: it may fill in arguments itself.
    """
    # An instance's own signature would be that of its class's `__call__` without its first argument, static or not.
    cls = operator.fn if operator.made_in_worker else type(operator.fn) if _is_object(operator) else object
    called = dir_of_instances(cls).get("__call__")
    fn: Any = operator.fn if called is None else called
    unbound = called is not None and not isinstance(called, staticmethod)
    if isinstance(fn, staticmethod | classmethod):
        fn = fn.__func__
    try:
        parameters = list(inspect.signature(fn, follow_wrapped=False).parameters.values())
    except (ValueError, TypeError):
        return None
    first = parameters[0] if parameters else None
    if unbound and first is not None and first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        del parameters[0]  # self
    return parameters


def _takes(parameters: list[inspect.Parameter], most: int) -> int:
    """How many positional arguments it can be called with, of `most`."""
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return most
    return min(sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters), most)


def _missing(parameters: list[inspect.Parameter], given: int) -> list[str]:
    """Arguments that are left without a value by a call with this many."""
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [p.name for p in (*positional[given:], *keyword) if p.default is p.empty]


def _is_object(operator: Operator) -> bool:
    """True: an instance with `__call__`, or a class of which each worker makes one."""
    plain = inspect.isroutine(operator.fn) or inspect.isclass(operator.fn) or isinstance(operator.fn, functools.partial)
    return operator.made_in_worker or not plain


def _called(operator: Operator, short: str) -> str:
    return f"`{short}.__call__`" if _is_object(operator) else short
