"""The plan as bytes that another process can load: functions by reference where they can be imported, else by value.

What is in a script's `__main__` goes by reference: the zygote imports the script under its own name and aliases
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

from penstock.engine.struct_by_value import reduce_struct
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
    return tuple(sorted(found - {"builtins"}))


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
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented or not isinstance(obj, type):
            return reduced
        if issubclass(obj, msgspec.Struct):
            return reduce_struct(obj)
        return _reduce_main_class(obj, reduced) if obj.__module__ == "__main__" else reduced


def _found_in_main(obj: Any) -> bool:
    found: Any = sys.modules.get("__main__")
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def _reduce_main_class(cls: type, reduced: Any) -> Any:
    """A class of a notebook: put where plain pickle looks for it."""
    make, args, *rest = reduced
    return (_make_class, (make, args, cls.__qualname__), *rest)


def _make_class(make: Any, args: tuple[Any, ...], qualname: str) -> Any:
    made = make(*args)
    if "." not in qualname:
        setattr(sys.modules["__main__"], qualname, made)
    return made
