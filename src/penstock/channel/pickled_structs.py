"""Structs that pickle by itself would change: those with a `__post_init__`, which it runs again, and with attributes.

msgspec makes an unpickled Struct by calling its class. Here its fields are set as they were, and nothing is called.
"""

from __future__ import annotations

import copyreg
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import force_setattr

_seen: set[type] = {msgspec.Struct}


def keep_structs_as_they_are() -> None:
    """Teach pickle about all Struct classes that there are now."""
    waiting = msgspec.Struct.__subclasses__()
    while waiting:
        cls = waiting.pop()
        if cls not in _seen:
            keep_as_it_is(cls)
        waiting.extend(cls.__subclasses__())


def keep_as_it_is(cls: type) -> None:
    """Teach pickle about a class, unless it is no Struct or says itself how it is pickled."""
    if cls in _seen or not issubclass(cls, msgspec.Struct):
        return
    _seen.add(cls)
    if not hasattr(cls, "__post_init__") and not cls.__dictoffset__:
        return  # most of them: pickle leaves these as they are
    own = cls.__reduce__ is not msgspec.Struct.__reduce__ or cls.__reduce_ex__ is not object.__reduce_ex__
    if not own and cls not in copyreg.dispatch_table:
        copyreg.pickle(cls, _reduced)


def _reduced(row: Any) -> tuple[Any, ...]:
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    return restored, (type(row), values, vars(row) if type(row).__dictoffset__ else None)


def restored(cls: type, values: dict[str, Any], attributes: dict[str, Any] | None) -> Any:
    """Called by pickle in the receiving process, with names from a frame or a file of dead letters."""
    row: Any = _quiet(cls)(**values)
    if type(row) is not cls:
        force_setattr(row, "__class__", cls)
    if attributes:
        vars(row).update(attributes)
    return row


@cache
def _quiet(cls: type) -> type:
    """The class, or one like it whose `__post_init__` does nothing.

    A class that wants to know of its subclasses is not given one: its `__post_init__` runs again.
    """
    from inspect import getattr_static  # for few rows, and it imports much

    is_told = getattr_static(cls, "__init_subclass__") is not getattr_static(object, "__init_subclass__")
    if not hasattr(cls, "__post_init__") or is_told:
        return cls
    return type(cls)(cls.__name__, (cls,), {"__module__": cls.__module__, "__post_init__": lambda self: None})
