"""The line that tells how a run gets on: drawn in place on a terminal, a plain line every ten seconds elsewhere.

The engine feeds it statuses; `progress_line` decides what to say, `Progress` writes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from typing import TextIO

from penstock.clock import SYSTEM_CLOCK, Clock
from penstock.metrics import text
from penstock.metrics.diagnosis import ends
from penstock.status import EdgeStatus, Status

PLAIN_EVERY_S = 10.0
_BAR_CELLS = 10
_CLEAR_LINE = "\r\x1b[K"


def progress_line(status: Status, totals: Mapping[str, int], width: int) -> str:
    """One line of at most `width` columns. `totals`: rows that the sources will give; empty: not known."""
    sources = _sources(status)
    rows = sum(_rows_read(status, name) for name in sources)
    waiting = sum(_rows_waiting(status, name) for name in sources)
    per_s = sum(max(status.stages[name].rows_in_per_s, status.stages[name].rows_out_per_s) for name in sources)
    if not per_s:  # all is read, or a full queue lets nobody read
        per_s = sum(status.stages[name].rows_in_per_s for name in _behind(status, sources))
    dead_letters = sum(stage.dead_letters for stage in status.stages.values())
    total = sum(totals.values())
    parts = [
        status.pipeline,
        _bar(rows - waiting, total) if totals else "",
        status.phase if status.phase != "running" else "",
        f"{text.count(rows - waiting)} of {text.count(total)} rows" if totals else f"{text.count(rows)} rows",
        f"{text.rate(per_s)}/s",
        text.span(status.uptime_s),
        f"{text.count(dead_letters)} dead letter{'s' if dead_letters != 1 else ''}" if dead_letters else "",
        f"bottleneck: {status.bottleneck}" if status.bottleneck else "",
    ]
    return text.shorten("  ".join(part for part in parts if part), width)


def _sources(status: Status) -> list[str]:
    receivers = {ends(name)[1] for name in status.edges}
    return [name for name in status.stages if name not in receivers]


def _rows_read(status: Status, source: str) -> int:
    """A source's operators may drop or multiply rows: what it read counts, where it is counted."""
    stage = status.stages[source]
    return stage.rows_in or stage.rows_out


def _rows_waiting(status: Status, source: str) -> int:
    """Of the rows that a source read, those that no stage behind it has taken yet."""
    stage = status.stages[source]
    edges = (edge for edge in status.edges.values() if ends(edge.name)[0] == source)
    waiting = max((_not_taken(status, edge, stage.rows_out) for edge in edges), default=0)
    return min(round(waiting * stage.rows_in / stage.rows_out), stage.rows_in) if stage.rows_out else 0


def _not_taken(status: Status, edge: EdgeStatus, sent: int) -> int:
    """What a queue says of itself; of a batch half done, what the receiver says, where it has no other queue."""
    receiver = ends(edge.name)[1]
    if sum(ends(name)[1] == receiver for name in status.edges) > 1:
        return edge.queued_rows
    return min(edge.queued_rows, max(sent - status.stages[receiver].rows_in, 0))


def _behind(status: Status, sources: Collection[str]) -> list[str]:
    return list(dict.fromkeys(ends(name)[1] for name in status.edges if ends(name)[0] in sources))


def _bar(rows: int, total: int) -> str:
    done = min(1.0, rows / total) if total else 1.0
    filled = int(done * _BAR_CELLS)
    return f"[{'#' * filled}{'-' * (_BAR_CELLS - filled)}] {int(done * 100)} %"


class Progress:
    """Shows a run's progress on a stream. `update` about four times a second, `close` once at the end."""

    def __init__(
        self, stream: TextIO, *, is_terminal: bool, clock: Clock = SYSTEM_CLOCK, totals: Mapping[str, int] | None = None
    ) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._clock = clock
        self._totals = dict(totals or {})
        self._next_plain_s = clock.monotonic() + PLAIN_EVERY_S
        self._drawn = False
        self._broken = False

    def update(self, status: Status) -> None:
        """Tell the present state, if it is time to."""
        if self._is_terminal:
            # One column stays free: a full line would wrap on some terminals.
            width = shutil.get_terminal_size((80, 24)).columns - 1
            self._write(_CLEAR_LINE + progress_line(status, self._totals, width))
            self._drawn = True
        elif self._clock.monotonic() >= self._next_plain_s:
            self._next_plain_s = self._clock.monotonic() + PLAIN_EVERY_S
            self._write(progress_line(status, self._totals, 200) + "\n")

    def close(self) -> None:
        """Leave the terminal's line empty for what is printed next."""
        if self._drawn:
            self._write(_CLEAR_LINE)
            self._drawn = False

    def _write(self, line: str) -> None:
        if self._broken:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal went away or the stream was closed: nobody looks any more, and the run must not fail.
            self._broken = True
