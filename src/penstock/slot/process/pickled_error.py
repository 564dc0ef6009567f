"""The exception itself, from a worker to the calling process: where it can be pickled, and its class is known there."""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

from penstock.ctrl_c import is_ctrl_c
from penstock.program import Program, module_of

_MOST_BYTES = 1024 * 1024
"""A larger one stays behind: its message is told all the same."""


def pickled_error(error: BaseException | None) -> bytes:
    """The exception as bytes; empty where there is none, or it cannot be pickled."""
    if error is None:
        return b""
    try:
        data = pickle.dumps(error, 5)
    except BaseException:  # pickling runs code of the user's; what it cannot carry is told in words only
        return b""
    return data if len(data) <= _MOST_BYTES else b""


def unpickled_error(data: bytes, program: Program) -> BaseException | None:
    """The exception; None if it cannot be made again, such as one whose `__init__` wants other arguments."""
    if not data:
        return None
    try:
        error = _Unpickler(io.BytesIO(data), program).load()
    except BaseException as exc:  # it runs code of the user's
        if is_ctrl_c(exc):
            raise
        return None
    return error if isinstance(error, BaseException) else None


class _Unpickler(pickle.Unpickler):
    """Finds classes of the program in `__main__`, which workers know by another name."""

    def __init__(self, file: io.BytesIO, program: Program) -> None:
        super().__init__(file)
        self._main = module_of(program)

    def find_class(self, module: str, name: str) -> Any:
        if module == self._main and module not in sys.modules:
            module = "__main__"
        return super().find_class(module, name)
