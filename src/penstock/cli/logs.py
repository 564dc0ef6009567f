"""How log records of penstock and of the workers are written to stderr: as labelled lines or as JSON objects."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from penstock.terminal_text import visible_json, visible_lines

LEVELS = ("debug", "info", "warning", "error")

_CLEAR_LINE = "\r\x1b[K"


class LineFormatter(logging.Formatter):
    """`enrich/2 | message` for what a worker says, `penstock: message` for the rest."""

    def __init__(self, *, clear_line: bool) -> None:
        super().__init__()
        self._start = _CLEAR_LINE if clear_line else ""

    def format(self, record: logging.LogRecord) -> str:
        slot = getattr(record, "slot", None)
        label = f"{slot} | " if slot else "penstock: "
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        said = record.getMessage()
        if not slot:  # what a worker prints is its own: colours, say
            said = visible_lines(said)
        lines = [*said.splitlines(), *visible_lines(_error(self, record)).splitlines()]
        return self._start + "\n".join(f"{label}{level}{line}" for line in lines or [""])


class JsonFormatter(logging.Formatter):
    """One object per record: time, level, logger, slot, message, error."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "slot": getattr(record, "slot", None),
            "message": record.getMessage(),
            "error": _error(self, record) or None,
        }
        present = {name: value for name, value in fields.items() if value is not None}
        return visible_json(msgspec.json.encode(present).decode())


def _error(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[0]:
        return formatter.formatException(record.exc_info)
    return record.exc_text or ""  # of a worker, where the exception stayed


def configure(stream: TextIO | None, *, level: str, as_json: bool, clear_line: bool) -> None:
    """Send the records of every `penstock` logger to `stream`. `clear_line`: a progress line may stand there."""
    handler = logging.StreamHandler(stream) if stream is not None else logging.NullHandler()
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter(clear_line=clear_line))
    logger = logging.getLogger("penstock")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
