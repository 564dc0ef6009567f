"""Errors of user code as text: one line, and the traceback without the engine's own frames."""

from __future__ import annotations

import traceback
from pathlib import Path

from penstock.errors import PenstockError

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE, Path(_PACKAGE.name))
"""Frames of compiled modules tell where they were compiled: relative to the place of the package."""
_OWN = tuple(str(place / part) for place in _PLACES for part in ("slot", "supervisor", "program.py", "sequences.py"))
_MACHINERY = (*_OWN, "<penstock", "<frozen importlib")


def one_line(error: BaseException) -> str:
    """`ValueError: not a log line`; what penstock itself says goes without the name of its class."""
    if isinstance(error, PenstockError):
        return " ".join(str(error).split())
    text = "".join(traceback.format_exception_only(error)).strip()
    return " ".join(line.strip() for line in text.splitlines())


def user_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, from the user's own frame on."""
    return "".join(_trimmed(error).format())


def _trimmed(error: BaseException) -> traceback.TracebackException:
    shown = traceback.TracebackException.from_exception(error)
    current: traceback.TracebackException | None = shown
    while current is not None:
        frames = [frame for frame in current.stack if not _is_own(frame.filename)]
        if frames or _is_generated(current.stack):
            current.stack = traceback.StackSummary.from_list(frames)
        current = current.__cause__ or current.__context__
    return shown


def _is_generated(stack: traceback.StackSummary) -> bool:
    """True: a function without frames of its own, as `int`, was called for a row. Else the engine itself is wrong."""
    return bool(stack) and stack[-1].filename.startswith("<penstock")


def _is_own(filename: str) -> bool:
    return filename.startswith(_MACHINERY)
