"""A `msgspec.Struct` class as a value that another process can make again; `shipping` asks for it.

cloudpickle alone loses the fields of a Struct that cannot be imported, and what is decoded by it is empty without an
error. Here the class is made first, with its fields, and then given what may refer to it: methods, constants, types.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import msgspec

_OPTIONS = (
    "frozen", "eq", "order", "array_like", "gc", "repr_omit_defaults", "omit_defaults", "forbid_unknown_fields",
    "weakref", "dict", "cache_hash", "tag", "tag_field",
)
_MADE_ANEW = frozenset({
    "__module__", "__qualname__", "__annotations__", "__slots__", "__dict__", "__weakref__", "__orig_bases__",
    "__parameters__", "__post_init__", "__doc__", "__firstlineno__", "__static_attributes__",
})


def reduce_struct(cls: type[msgspec.Struct]) -> tuple[Any, ...]:
    """What pickle wants of a reducer: how to make the class, and what to set on it afterwards."""
    return _make, (_recipe(cls),), _state(cls), None, None, _complete


def _recipe(cls: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": cls.__name__,
        "qualname": cls.__qualname__,
        "module": cls.__module__,
        "doc": cls.__doc__,
        "bases": vars(cls).get("__orig_bases__", cls.__bases__),
        "fields": [
            (field.name, field.encode_name, *_default(field)) for field in msgspec.structs.fields(cls)
            if field.name in _own_fields(cls)
        ],
        "options": {name: getattr(cls.__struct_config__, name) for name in _OPTIONS},
        "kw_only": _is_kw_only(cls),
        "post_init": "__post_init__" in vars(cls),
    }


def _own_fields(cls: type) -> frozenset[str]:
    return frozenset(vars(cls).get("__annotations__", ()))


def _default(field: msgspec.structs.FieldInfo) -> tuple[str, Any]:
    if field.default_factory is not msgspec.NODEFAULT:
        return "default_factory", field.default_factory
    return ("", None) if field.default is msgspec.NODEFAULT else ("default", field.default)


def _is_kw_only(cls: type) -> bool:
    own, parameters = _own_fields(cls), inspect.signature(cls).parameters.values()
    return any(p.kind is p.KEYWORD_ONLY and p.name in own for p in parameters)


def _state(cls: type[msgspec.Struct]) -> dict[str, Any]:
    resolved = {field.name: field.type for field in msgspec.structs.fields(cls)}
    return {
        # Constants and the like that are annotated are no fields; their annotations stay as they are.
        "annotations": {name: resolved.get(name, note) for name, note in vars(cls).get("__annotations__", {}).items()},
        "post_init": vars(cls).get("__post_init__"),
        "attributes": {
            name: value for name, value in vars(cls).items()
            if name not in _MADE_ANEW and not isinstance(value, types.MemberDescriptorType)
        },
    }


def _make(recipe: dict[str, Any]) -> type:
    """Make the class with all that must be there from the beginning."""
    orig_bases = recipe["bases"]
    namespace: dict[str, Any] = {"__doc__": recipe["doc"]}
    bases = types.resolve_bases(orig_bases)
    if bases is not orig_bases:
        namespace["__orig_bases__"] = orig_bases
    if recipe["post_init"]:
        namespace["__post_init__"] = _late_post_init()
    fields = [
        (name, Any, msgspec.field(**{"name": encoded, **({how: value} if how else {})}))
        for name, encoded, how, value in recipe["fields"]
    ]
    made = msgspec.defstruct(
        recipe["name"], fields, bases=bases, namespace=namespace, module=recipe["module"], kw_only=recipe["kw_only"],
        **recipe["options"],
    )
    made.__qualname__ = recipe["qualname"]
    main = sys.modules["__main__"]
    if recipe["module"] == "__main__" and "." not in recipe["qualname"]:
        # Where plain pickle looks for the class of a row.
        setattr(main, recipe["name"], made)
    return made


def _late_post_init() -> Callable[[Any], None]:
    """msgspec notes at once that there is one; what it does comes with the state."""

    def __post_init__(self: Any) -> None:  # noqa: N807
        late.does(self)

    late: Any = __post_init__
    return __post_init__


def _complete(cls: type, state: dict[str, Any]) -> None:
    """Give the class what may refer to it."""
    cls.__annotations__ = state["annotations"]
    if state["post_init"] is not None:
        vars(cls)["__post_init__"].does = state["post_init"]
    for name, value in state["attributes"].items():
        setattr(cls, name, value)
