"""Log records on their way from a worker to the caller: one line each in the worker's log, with level and logger.

Lines that user code prints go the same way; a mark that nobody prints tells records from them.
"""

from __future__ import annotations

import logging
import sys

import msgspec

from penstock.error_text import cut
from penstock.terminal_text import visible_lines

_MARK = "\x1epenstock-record "
_MOST = 12_000
_CUT = 500


class LoggedLine(msgspec.Struct, frozen=True):
    """One record."""

    level: int
    logger: str
    message: str
    created: float
    error: str = ""
    """The traceback that came with it."""


class ToCaller(logging.Handler):
    """Writes records as such lines to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            error = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            message = record.getMessage()
            if len(message) + len(error) > _MOST:  # before anything is made of a text that may be very long
                message, error = cut(message, _CUT), cut(error, _CUT)
            # Records quote rows and errors, which a terminal must not obey.
            sys.stderr.write(to_line(LoggedLine(
                record.levelno, record.name, visible_lines(message), record.created, visible_lines(error)
            )))
        except Exception:  # as handlers do: a record that cannot be worded is reported, and costs nothing else
            self.handleError(record)


def configure(level: int) -> None:
    """Send every record of this worker to the caller, unless the program has handlers of its own."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(ToCaller())
        root.setLevel(level)


def to_line(record: LoggedLine) -> str:
    """The line, with its end. Text beyond what a line can hold is cut, and says so."""
    data = msgspec.json.encode(record)
    if len(data) > _MOST:
        short = LoggedLine(
            record.level, record.logger[:200], cut(record.message, _CUT), record.created, cut(record.error, _CUT)
        )
        data = msgspec.json.encode(short)
    return f"{_MARK}{data.decode()}\n"


def from_line(line: str) -> LoggedLine | None:
    """The record; None for what was printed."""
    if not line.startswith(_MARK):
        return None
    try:
        return msgspec.json.decode(line.removeprefix(_MARK), type=LoggedLine)
    except msgspec.MsgspecError:  # two processes of one worker wrote at once: it is shown as it came
        return None
