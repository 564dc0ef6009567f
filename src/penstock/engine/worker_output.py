"""What workers print and log, as the caller shows it: records keep their level and logger, prints have neither."""

from __future__ import annotations

import logging

from penstock.slot.process.worker_log import LoggedLine, from_line
from penstock.standard_streams import tell, write_rows
from penstock.supervisor.protocol import Output

_log = logging.getLogger("penstock.worker")


def log_level() -> int:
    """From which level on workers need to send records: what the caller's own logging lets through."""
    return _log.getEffectiveLevel() if _log.hasHandlers() else logging.INFO


def show(output: Output) -> None:
    """Rows for standard output as they are; lines of a worker with its label. Raises what the streams raise."""
    if not output.label:
        write_rows(output.data)
        return
    for line in output.data.decode("utf-8", "replace").split("\n"):
        record = from_line(line)
        if record is not None:
            _show_record(output.label, record)
        elif line:
            _show_print(output.label, line.rstrip("\r"))


def _show_print(label: str, line: str) -> None:
    if _log.hasHandlers():
        # Printed is printed, whatever the level of logging is.
        _log.handle(_log.makeRecord(_log.name, logging.INFO, "", 0, "%s", (line,), None, extra={"slot": label}))
    else:
        tell(f"{label} | {line}")


def _show_record(label: str, record: LoggedLine) -> None:
    text = f"{record.message}\n{record.error}" if record.error else record.message
    if not _log.hasHandlers():
        level = logging.getLevelName(record.level)
        for line in f"{level} {text}".splitlines():
            tell(f"{label} | {line}")
        return
    if _log.isEnabledFor(record.level):
        shown = _log.makeRecord(
            record.logger, record.level, "", 0, "%s", (record.message,), None, extra={"slot": label}
        )
        shown.created = record.created
        if record.error:
            shown.exc_text = record.error
        _log.handle(shown)
