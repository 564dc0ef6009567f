"""Children that user code forks: they have the worker's loop below them on the stack, and must never return to it.

A child that returns from the row function, or leaves it by an exception, would be a second worker in the slot. The
lock cannot see it, since nothing is locked again. So each way back into the engine ends the child here, with the exit
code that it would have had as a program of its own; and what is mapped of the run is not there in a child at all.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from penstock import mapped_file
from penstock.slot.process.process_end import end_with
from penstock.slot.process.row_failure import Failure

_owner = 0
_hooked = False
_rows: list[Any] = []
"""The rows that user code is called for now."""


def own() -> None:
    """This process is the worker, and no child of it ever will be."""
    global _owner, _hooked
    _owner = os.getpid()
    mapped_file.keep_from_children()
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_take_rows_away)


def call_for(rows: list[Any]) -> None:
    """User code is about to be called for these rows, one by one."""
    global _rows
    _rows = rows


def leave_if_child(failures: Sequence[Failure] = ()) -> None:
    """After each call of user code, and before each commit: end this process where it is not the worker."""
    if _owner and os.getpid() != _owner:
        _leave(failures[-1].error if failures else None)


def leave_if_child_by(error: BaseException) -> None:
    """The same for what user code raised."""
    if _owner and os.getpid() != _owner:
        _leave(error)


def _take_rows_away() -> None:
    """In a new child: the loop over rows ends with the row that forked; the list is the child's own copy."""
    if os.getpid() != _owner:
        _rows.clear()


def _leave(error: BaseException | None) -> NoReturn:
    end_with(lambda: _exit_code(error), otherwise=0)


def _exit_code(error: BaseException | None) -> int:
    """As the interpreter has it at the end of a program."""
    # A loop that lost its rows half-way takes that for a StopIteration of the function; the child has returned.
    if error is None or isinstance(error, StopIteration):
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    print(f"penstock: a process that user code forked (pid {os.getpid()}) ends by an exception:", file=sys.stderr)
    traceback.print_exception(error)
    return 1
