"""Errors of user code as text: one line, and the traceback without the engine's own frames."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from pathlib import Path

from penstock.ctrl_c import is_ctrl_c
from penstock.error_text import TRACEBACK_CHARACTERS, cut
from penstock.errors import PenstockError
from penstock.operator import Unavailable

_PACKAGE = Path(__file__).resolve().parents[2]
_PLACES = (_PACKAGE, Path(_PACKAGE.name))
"""Frames of compiled modules tell where they were compiled: relative to the place of the package."""
_PARTS = (
    "columns.py", "event_time.py", "engine", "operators", "slot", "supervisor", "program.py", "sequences.py",
    "standard_streams.py",
)
_OWN = tuple(str(place / part) for place in _PLACES for part in _PARTS)
_MACHINERY = (*_OWN, "<penstock", "<frozen importlib")
_MAY_PASS = (ConnectionError, TimeoutError, MemoryError, BlockingIOError, InterruptedError)
_MAY_PASS_BY_NAME = frozenset({"OperationalError", "InterfaceError"})
"""Of the database API (PEP 249): trouble of the database's operation, such as a lost connection."""
_MAY_PASS_BY_NUMBER = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENETDOWN,
    errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EIO, errno.ESTALE, errno.ENOLCK,
})


def same_error(what: str, error: BaseException) -> str:
    """What, class and line of an error, to be compared with the next life's; empty where time may help by itself."""
    if any(_may_pass(link) for link in _linked(error)):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{what}|{type(error).__module__}.{type(error).__qualname__}|{place}"


def unavailable(error: BaseException, *, of_sink: bool) -> Unavailable | None:
    """Whether an error only says that something is down for now. A disk that a sink found full may get room again."""
    for link in _linked(error):
        if isinstance(link, Unavailable):
            return link
        if of_sink and isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            return Unavailable(one_line(error))
    return None


def _linked(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, _MAY_PASS) or (isinstance(error, OSError) and error.errno in _MAY_PASS_BY_NUMBER):
        return True
    return any(base.__name__ in _MAY_PASS_BY_NAME for base in type(error).__mro__)


def one_line(error: BaseException) -> str:
    """`ValueError: not a log line`; what penstock itself says goes without the name of its class."""
    try:
        if isinstance(error, PenstockError):
            return " ".join(cut(str(error)).split())
        text = "".join(cut(part) for part in traceback.format_exception_only(error)).strip()
    except BaseException as exc:  # the text and the notes of an error are the user's code
        if is_ctrl_c(exc):
            raise
        return f"{_name(error)}, whose text is unavailable ({_name(exc)})"
    return cut(" ".join(line.strip() for line in text.splitlines()))


def user_traceback(error: BaseException) -> str:
    """The traceback as Python prints it, from the user's own frame on."""
    try:
        return cut("".join(cut(part) for part in _trimmed(error).format()), TRACEBACK_CHARACTERS)
    except BaseException as exc:  # as in `one_line`; the places are the interpreter's own
        if is_ctrl_c(exc):
            raise
        places = "".join(traceback.format_tb(error.__traceback__))
        return (
            f"Traceback (most recent call last):\n{cut(places, TRACEBACK_CHARACTERS)}"
            f"{_name(error)}, whose text is unavailable ({_name(exc)})\n"
        )


def _name(error: BaseException) -> str:
    return str(type.__getattribute__(type(error), "__qualname__"))


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
