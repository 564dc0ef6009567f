"""The plan as bytes that another process can load: functions by reference where they can be imported, else by value.

What stands in a script's `__main__` goes by reference: the zygote imports the script under its own name and aliases
it. In a notebook there is nothing to import, so it goes by value, with a reducer of our own for `msgspec.Struct`:
cloudpickle alone loses the fields of a Struct, and what is decoded by it is empty without an error.
"""

from __future__ import annotations

import importlib.util
import io
import pickletools
import sys
import types
from typing import Any

import cloudpickle
import msgspec

from penstock.program import Program


def ship(plan: object, program: Program) -> bytes:
    """Pickle a plan for the workers of a program."""
    buffer = io.BytesIO()
    main_by_reference = program.path is not None or program.module is not None
    by_value = _modules_of_nowhere()
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        _Pickler(buffer, main_by_reference).dump(plan)
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return buffer.getvalue()


def modules_named(pickled: bytes) -> tuple[str, ...]:
    """Imported modules that a pickle refers to: what the zygote does well to import before it forks."""
    names = {arg for _, arg, _ in pickletools.genops(pickled) if isinstance(arg, str)}
    found = {name for name in names if name in sys.modules and name != "__main__"}
    return tuple(sorted(name for name in found if name.partition(".")[0] not in ("builtins", "penstock")))


def _modules_of_nowhere() -> list[types.ModuleType]:
    """Modules of the caller that another process could not import by their name: made by hand, or by a test runner."""
    nowhere = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path is None or name == "__main__" or "." in name or not isinstance(module, types.ModuleType):
            continue
        if getattr(module, "__spec__", None) is not None and not _is_findable(name, path):
            nowhere.append(module)
    return nowhere


def _is_findable(name: str, path: str) -> bool:
    if path.startswith((sys.prefix, sys.base_prefix)):
        return True
    for entry in sys.path:
        if entry and path.startswith(entry.rstrip("/") + "/"):
            return True
    try:
        return importlib.util.find_spec(name) is not None and sys.modules[name].__spec__ is None
    except (ImportError, ValueError):
        return False


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, file: io.BytesIO, main_by_reference: bool) -> None:
        super().__init__(file, protocol=5)
        self._main_by_reference = main_by_reference

    def reducer_override(self, obj: Any) -> Any:
        """cloudpickle's hook, asked for every object."""
        if isinstance(obj, (type, types.FunctionType)) and getattr(obj, "__module__", None) == "__main__":
            if self._main_by_reference and _found_in_main(obj):
                return obj.__qualname__
            if isinstance(obj, type):
                return _reduce_main_class(obj, super().reducer_override(obj))
        return super().reducer_override(obj)


def _found_in_main(obj: Any) -> bool:
    found: Any = sys.modules.get("__main__")
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def _reduce_main_class(cls: type, reduced: Any) -> Any:
    """A class of a notebook: made again there, and put where plain pickle looks for it."""
    if issubclass(cls, msgspec.Struct):
        return _make_struct, _struct_recipe(cls)
    if reduced is NotImplemented or not isinstance(reduced, tuple):
        return reduced
    make, args, *rest = reduced
    return (_make_class, (make, args, cls.__qualname__), *rest)


def _struct_recipe(cls: type[msgspec.Struct]) -> tuple[Any, ...]:
    fields: list[Any] = []
    own = set(cls.__annotations__) if "__annotations__" in cls.__dict__ else set()
    for field in msgspec.structs.fields(cls):
        if field.name not in own:
            continue
        if field.default_factory is not msgspec.NODEFAULT:
            default: Any = msgspec.field(default_factory=field.default_factory, name=field.encode_name)
        elif field.default is not msgspec.NODEFAULT:
            default = msgspec.field(default=field.default, name=field.encode_name)
        else:
            default = msgspec.field(name=field.encode_name)
        fields.append((field.name, field.type, default))
    config = cls.__struct_config__
    options = {
        name: getattr(config, name)
        for name in (
            "frozen", "eq", "order", "array_like", "gc", "repr_omit_defaults", "omit_defaults",
            "forbid_unknown_fields", "weakref", "dict", "cache_hash", "tag", "tag_field",
        )
    }
    namespace = {
        name: value for name, value in vars(cls).items()
        if isinstance(value, (types.FunctionType, classmethod, staticmethod, property))
    }
    bases = tuple(base for base in cls.__bases__)
    return cls.__name__, cls.__qualname__, fields, bases, namespace, options, bool(getattr(config, "kw_only", False))


def _make_struct(
    name: str, qualname: str, fields: list[Any], bases: tuple[type, ...], namespace: dict[str, Any],
    options: dict[str, Any], kw_only: bool,
) -> type:
    made = msgspec.defstruct(
        name, fields, bases=bases, namespace=namespace, module="__main__", kw_only=kw_only, **options
    )
    made.__qualname__ = qualname
    setattr(sys.modules["__main__"], name, made)
    return made


def _make_class(make: Any, args: tuple[Any, ...], qualname: str) -> Any:
    made = make(*args)
    if "." not in qualname:
        setattr(sys.modules["__main__"], qualname, made)
    return made
