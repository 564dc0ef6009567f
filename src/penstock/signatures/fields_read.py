"""Which fields of a row a function reads, by its bytecode. Pure.

All that a function may do with its argument is to read fields of it by name; then it cannot tell a row that has only
these fields from the whole one. Whatever else is done with it, be it to return, store, compare or pass it on, means:
not known, so the whole row is needed.
"""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

_SHOWS_LOCALS = frozenset({
    "locals", "vars", "dir", "eval", "exec", "breakpoint", "set_trace", "settrace", "setprofile", "_getframe",
    "_getframemodulename", "_current_frames", "currentframe", "stack", "trace", "f_locals", "tb_frame", "gi_frame",
})  # fmt: skip
"""Names by which code gets at variables of a function without naming them there."""
_LOADS = frozenset({"LOAD_FAST", "LOAD_FAST_BORROW"})
_TWO_AT_ONCE = frozenset({"LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW", "STORE_FAST_LOAD_FAST"})
"""About two variables: of the second one they are a `LOAD_FAST`."""


def fields_read(fn: Any, row_class: type, argument: int = 0) -> frozenset[str] | None:
    """The fields that `fn` reads of a row; None: it may do more than that. `argument`: which one the row is, from 0."""
    found = _code_and_place(fn)
    if found is None:
        return None
    code, place = found
    place += argument
    if place >= code.co_argcount or code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return None
    if _looks_around(code):
        return None
    read = _attributes(code, code.co_varnames[place])
    return read if read is not None and all(_is_field(row_class, name) for name in read) else None


def fields_of(values: Iterable[Any], row_class: type) -> frozenset[str] | None:
    """The fields that are read for values of a row. Each is a field's name, or a function of the row.

    None: a function may do more, or a value is None, which stands for the row itself.
    """
    read: set[str] = set()
    for value in values:
        found = frozenset({value}) if isinstance(value, str) else fields_read(value, row_class)
        if found is None:
            return None
        read |= found
    return frozenset(read)


def both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """The fields of both; None: one of them is not known."""
    return None if one is None or other is None else one | other


def _code_and_place(fn: Any) -> tuple[types.CodeType, int] | None:
    """What is run, and which of its arguments is the row."""
    if isinstance(fn, types.FunctionType):
        return fn.__code__, 0
    if isinstance(fn, types.MethodType):
        return (fn.__func__.__code__, 1) if isinstance(fn.__func__, types.FunctionType) else None
    call = inspect.getattr_static(fn if inspect.isclass(fn) else type(fn), "__call__", None)
    return (call.__code__, 1) if isinstance(call, types.FunctionType) else None


def _looks_around(code: types.CodeType) -> bool:
    """True: it, or a function inside it, may look at the variables of those who called it."""
    if not _SHOWS_LOCALS.isdisjoint(code.co_names):
        return True
    return any(_looks_around(inner) for inner in code.co_consts if isinstance(inner, types.CodeType))


def _attributes(code: types.CodeType, argument: str) -> frozenset[str] | None:
    """The attributes that are read of an argument; None: something else is done with it."""
    read: set[str] = set()
    instructions = list(_instructions(code))
    for here, behind in zip(instructions, [*instructions[1:], None], strict=True):
        if not _names(here, argument):
            continue
        if not _loads_last(here, argument) or behind is None or not _reads_attribute(behind):
            return None
        read.add(behind.argval)
    return frozenset(read)


def _instructions(code: types.CodeType) -> Iterator[dis.Instruction]:
    """All but the prefixes of long arguments. One that is jumped to stays, and comes between those around it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname != "EXTENDED_ARG" or instruction.is_jump_target:
            yield instruction


def _names(instruction: dis.Instruction, variable: str) -> bool:
    """True: the instruction is about a local variable, its cell included."""
    if not any(word in instruction.opname for word in ("FAST", "DEREF", "CELL", "CLOSURE")):
        return False
    value = instruction.argval
    return value == variable or (isinstance(value, tuple) and variable in value)


def _loads_last(instruction: dis.Instruction, variable: str) -> bool:
    """True: what it leaves on top of the stack is the variable, and it does nothing else with it."""
    if instruction.opname in _LOADS:
        return True
    if instruction.opname not in _TWO_AT_ONCE:
        return False
    other, last = instruction.argval
    return bool(last == variable and other != variable)


def _reads_attribute(instruction: dis.Instruction) -> bool:
    """True: an attribute of what was loaded before is read, and it is not about to be called as a method."""
    if instruction.opname != "LOAD_ATTR" or instruction.is_jump_target:
        return False
    return bool(instruction.argrepr == instruction.argval)  # "NULL|self + name" is a method's


def _is_field(row_class: type, name: str) -> bool:
    """True: reading the attribute gives the field's value and does nothing else."""
    if inspect.getattr_static(row_class, "__getattribute__") is not msgspec.Struct.__getattribute__:
        return False
    is_member = isinstance(inspect.getattr_static(row_class, name, None), types.MemberDescriptorType)
    return is_member and name in row_class.__struct_fields__  # type: ignore[attr-defined]
