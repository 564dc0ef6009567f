"""What annotations say about the user's functions: the row taken, the row given. `typing.Any` is "not known"."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args, get_origin

from penstock.signatures.callables import dir_of_instances, function_of

_AWAITABLES = (collections.abc.Awaitable, collections.abc.Coroutine)
_LIBRARIES = {
    ("pyarrow", "RecordBatch"): "pyarrow.RecordBatch",
    ("pyarrow", "Table"): "pyarrow.Table",
    ("polars", "DataFrame"): "polars.DataFrame",
    ("pandas", "DataFrame"): "pandas.DataFrame",
}
_USUAL_NAMES = {"pa": "pyarrow", "pl": "polars", "pd": "pandas"}


def returned_by(fn: Any) -> Any:
    """What calling `fn` gives; of `async def`, what awaiting gives. None means that nothing is given."""
    if inspect.isclass(fn) and "__call__" not in dir_of_instances(fn):
        return fn
    function = function_of(fn)
    given = _annotation(function, "return")
    if get_origin(given) in _AWAITABLES and not inspect.iscoroutinefunction(function):
        return _known(get_args(given)[-1])
    return given


def taken_by(fn: Any, argument: int = 0) -> Any:
    """The annotation of what `fn` is called with: by default its first argument that is still open, mostly the row."""
    name = _parameter(fn, argument)
    if name is None or (inspect.isclass(fn) and "__call__" not in dir_of_instances(fn)):
        return Any
    return _annotation(function_of(fn), name)


def element_of(container: Any) -> Any:
    """What iterating gives: the `int` of `Iterator[int]`, `list[int]`, `tuple[int, ...]`."""
    origin, args = get_origin(container), get_args(container)
    if container is str:
        return str
    if not inspect.isclass(origin) or not args:
        return Any
    if origin is tuple:
        return args[0] if len(args) == 2 and args[1] is Ellipsis else Any
    return _known(args[0]) if issubclass(origin, collections.abc.Iterable) else Any


def narrowed_by(fn: Any) -> Any:
    """The `R` of a filter that is annotated `-> TypeGuard[R]`."""
    given = returned_by(fn)
    return _known(get_args(given)[0]) if get_origin(given) is typing.TypeGuard else Any


def columns_taken_by(fn: Any) -> str | None:
    """The column library that the argument's annotation names; None where it names none."""
    taken = taken_by(fn)
    if inspect.isclass(taken):
        return _LIBRARIES.get((taken.__module__.partition(".")[0], taken.__name__))
    name = _parameter(fn, 0)
    raw = getattr(function_of(fn), "__annotations__", {}).get(name)
    if not isinstance(raw, str):
        return None
    module, _, kind = raw.strip("\"'").rpartition(".")
    return _LIBRARIES.get((_USUAL_NAMES.get(module, module), kind))


def _parameter(fn: Any, argument: int) -> str | None:
    try:
        signature = inspect.signature(dir_of_instances(fn)["__call__"] if _is_operator_class(fn) else fn)
    except (ValueError, TypeError, KeyError):
        return None
    positional = [
        p.name
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if _is_operator_class(fn):
        positional = positional[1:]
    return positional[argument] if len(positional) > argument else None


def _is_operator_class(fn: Any) -> bool:
    return inspect.isclass(fn) and "__call__" in dir_of_instances(fn)


def _annotation(function: Any, name: str) -> Any:
    """One annotation, resolved on its own: another one that cannot be resolved does no harm."""
    while isinstance(function, types.MethodType):
        function = function.__func__
    raw = getattr(function, "__annotations__", {}).get(name, Any)
    if raw is None or raw == "None":
        return None
    if isinstance(raw, str):
        holder = types.SimpleNamespace(__annotations__={name: raw})
        names = {**getattr(function, "__globals__", {}), **_closure(function)}
        try:
            raw = typing.get_type_hints(holder, names, include_extras=False)[name]
        except Exception:  # whatever evaluating the user's text raises, it only means: not known
            return Any
    return None if raw is type(None) else _known(raw)


def _closure(function: Any) -> dict[str, Any]:
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    found = {}
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not yet filled
            continue
    return found


def _known(annotation: Any) -> Any:
    """The annotation, or Any where it is open (a type variable in it) or no type at all."""
    if isinstance(annotation, str | TypeVar | typing.ForwardRef) or annotation in (typing.Self, typing.NoReturn):
        return Any
    if any(_known(part) is Any and part is not Any for part in get_args(annotation) if not isinstance(part, list)):
        return Any
    return annotation


def shown(annotation: Any) -> str:
    """A type as messages show it: `Visit`, `list[int]`, `A | B`."""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Any:
        return "Any"
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is typing.Union:
        return " | ".join(shown(part) for part in get_args(annotation))
    if get_origin(annotation) is None and inspect.isclass(annotation):
        return annotation.__qualname__.rsplit("<locals>.", 1)[-1]
    args = [part for part in get_args(annotation) if not isinstance(part, list)]
    origin = get_origin(annotation)
    if inspect.isclass(origin) and args:
        return f"{origin.__name__}[{', '.join('...' if a is Ellipsis else shown(a) for a in args)}]"
    return str(annotation).replace("typing.", "")


def open_arguments(fn: Callable[..., Any], *, given: int) -> Sequence[str]:
    """Names of the arguments that a call with `given` positional ones would leave without a value."""
    try:
        # A decorator may fill in what the function that it wraps wants.
        parameters = list(inspect.signature(fn, follow_wrapped=False).parameters.values())
    except (ValueError, TypeError):
        return ()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [p.name for p in positional[given:] + keyword if p.default is p.empty]
