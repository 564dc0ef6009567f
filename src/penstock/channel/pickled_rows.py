"""A pickle of many rows taken apart into pickles of each, without running code of the rows' classes.

A batch travels as one pickle: that is the fast way, and rows share what is common to them. Where one row cannot be
brought back, all would be lost with it; so the pickle is read as the instructions that it is, what they would call is
written down instead of called, and each row is pickled again by itself. Used by `codec` where decoding fails, and by
`decoding` of a worker whose predecessor died at it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

from penstock.batch import UndecodedRow
from penstock.ctrl_c import is_ctrl_c


class _Recipe:
    """An object as its pickle says how to make it, never made."""

    def __init__(self, fn: Any, args: Any) -> None:
        self.fn = fn
        self.args = args
        self.state: Any = None
        self.setter: Any = None
        """What a class gave to set the state with."""
        self.items: list[Any] = []
        self.pairs: list[tuple[Any, Any]] = []

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        items = iter(self.items) if self.items else None
        pairs = iter(self.pairs) if self.pairs else None
        told = (self.fn, self.args, self.state, items, pairs)
        return told if self.setter is None else (*told, self.setter)

    # What the instructions for rows of lists and dicts call on what was made.

    def append(self, item: Any) -> None:
        self.items.append(item)

    def extend(self, items: list[Any]) -> None:
        self.items.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))


class _Missing:
    """A name that cannot be imported here; its pickle says so again, by itself."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return found, (self.module, self.name)

    def __call__(self) -> None:
        """Never called; an instruction to call it is written down only where it could be."""


def found(module: str, name: str) -> Any:
    """What stands under a name; for rows whose class was missing when they were taken apart."""
    return pickle.Unpickler(io.BytesIO()).find_class(module, name)


def made(cls: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """An instance without its `__init__`, as pickle makes one."""
    return cls.__new__(cls, *args, **named)


class _Reader(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except BaseException as exc:  # an import may raise anything; the row that needs it will say so
            if is_ctrl_c(exc):
                raise
            return _Missing(module, name)

    def _call(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = _Recipe(self.stack[-1], args)

    def _new(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = _Recipe(made, (self.stack[-1], args, {}))

    def _new_named(self) -> None:
        named = self.stack.pop()
        args = self.stack.pop()
        self.stack[-1] = _Recipe(made, (self.stack[-1], args, named))

    def _build(self) -> None:
        state = self.stack.pop()
        self.stack[-1].state = state

    def _pop(self) -> None:
        """A result that is dropped: of a function that set a state. (Tuples that hold themselves are dropped, too.)"""
        dropped = self.stack.pop() if self.stack else self.pop_mark()  # type: ignore[attr-defined]
        below = self.stack[-1] if self.stack else None
        if isinstance(dropped, _Recipe) and isinstance(below, _Recipe) and len(dropped.args) == 2:
            if dropped.args[0] is below:
                below.setter, below.state = dropped.fn, dropped.args[1]


_Reader.dispatch |= {
    pickle.REDUCE[0]: _Reader._call,
    pickle.NEWOBJ[0]: _Reader._new,
    pickle.NEWOBJ_EX[0]: _Reader._new_named,
    pickle.BUILD[0]: _Reader._build,
    pickle.POP[0]: _Reader._pop,
}


class RowWatch:
    """Told of each row that is unpickled by itself. Rows are counted from the frame's first one."""

    one_by_one = False
    """True: one by one from the start."""
    passed = 0
    """Rows of the frame that are decoded already."""

    def forbids(self, row: int) -> str:
        """Why a row must not be decoded; empty: it may."""
        return ""

    def begins(self, row: int) -> None:
        """Its classes' code is about to run."""

    def ends(self) -> None:
        """It has run."""


def unpickled_apart(
    payload: bytes, watch: RowWatch | None
) -> tuple[list[Any], dict[int, tuple[Any, BaseException | str]]]:
    """The rows of a pickled list, and those that cannot be brought back: by index, their pickle and the error."""
    watch = watch or RowWatch()
    rows: list[Any] = []
    failures: dict[int, tuple[Any, BaseException | str]] = {}
    for index, data in enumerate(rows_apart(payload)):
        forbidden = watch.forbids(watch.passed + index)
        if forbidden:
            rows.append(None)
            failures[index] = UndecodedRow(data), forbidden
            continue
        watch.begins(watch.passed + index)
        try:
            rows.append(pickle.loads(data))
        except MemoryError:
            raise
        except BaseException as exc:  # whatever code of the row's classes raises is the row's error
            if is_ctrl_c(exc):
                raise
            rows.append(None)
            failures[index] = UndecodedRow(data), exc
        watch.ends()
    return rows, failures


def rows_apart(payload: bytes) -> list[bytes]:
    """A pickle of each row of a pickled list. None of their classes' code runs, but for what their modules import."""
    rows = _Reader(io.BytesIO(payload)).load()
    return [pickle.dumps(row, 5) for row in rows]
