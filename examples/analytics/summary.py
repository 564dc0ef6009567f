"""What the demo prints at the end: the fate of every line, the stages, and where to look further."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import penstock as ps
from analytics.books import Books
from analytics.names import NAME

_WIDTH = 80
_FOLDERS = {"clicks": "clickstream/", "sensors": "sensors/", "ticks": "ticks/", "logs": "logs/"}


class Latency:
    """The slowest that was seen while the run went on: a status is gone when the pipeline ends."""

    def __init__(self) -> None:
        self.batch_s: dict[str, tuple[float, float]] = {}
        self.end_to_end_s = (0.0, 0.0)

    def look(self, status: ps.Status) -> None:
        """Keeps the latest quantiles, which cover the run so far."""
        if status.end_to_end_p99_s:
            self.end_to_end_s = status.end_to_end_p50_s, status.end_to_end_p99_s
        for name, stage in status.stages.items():
            if stage.batch_p99_s:
                self.batch_s[name] = stage.batch_p50_s, stage.batch_p99_s


def shown(report: ps.Report, books: Books, latency: Latency, kills: int) -> str:
    """How the run went and what became of every line."""
    median_s, tail_s = latency.end_to_end_s
    end_to_end = f", end to end p50 {_ms(median_s)}, p99 {_ms(tail_s)}" if tail_s else ""
    killed = f", {kills} workers killed" if kills else ""
    head = f"{report.pipeline}: {report.outcome} after {report.duration_s:.1f} s{killed}{end_to_end}"
    return "\n\n".join([head, _feeds(books), _stages(report, latency), _verdict(books)])


def _feeds(books: Books) -> str:
    rows = [["feed", "lines", "stored", "dead letters", "duplicates", "continued", "control", "events"]]
    for feed, prefix in _FOLDERS.items():
        fates = books.total(prefix)
        counts = (fates.read, fates.stored, fates.malformed, fates.duplicate, fates.continuation, fates.control,
                  fates.events)
        rows.append([feed, *(f"{count:,}" for count in counts)])
    return table(rows)


def _stages(report: ps.Report, latency: Latency) -> str:
    rows = [("stage", "rows in", "rows out", "dead letters", "restarts", "batch p50", "batch p99")]
    for stage in report.stages.values():
        median_s, tail_s = latency.batch_s.get(stage.name, (0.0, 0.0))
        rows.append((
            stage.name, f"{stage.rows_in:,}", f"{stage.rows_out:,}", f"{stage.dead_letters:,}", f"{stage.restarts:,}",
            _ms(median_s), _ms(tail_s),
        ))
    return table(rows)


def _verdict(books: Books) -> str:
    if books.errors:
        return "\n".join(["THE BOOKS DO NOT ADD UP:", *(f"  {error}" for error in books.errors)])
    total = books.total("")
    return fill(
        f"every line is accounted for: {total.read:,} read = {total.stored:,} stored "
        f"+ {total.malformed:,} dead letters + {total.duplicate:,} stated duplicates "
        f"+ {total.continuation:,} continuations + {total.control:,} control; "
        f"{total.events:,} events, each once", _WIDTH
    )


def where(folder: Path) -> str:
    """How to look into what stays."""
    database = folder / "analytics.duckdb"
    return "\n".join([
        f"tables      duckdb {database}",
        f"            python -c \"import duckdb; print(duckdb.connect('{database}').sql('FROM readings'))\"",
        f"dead lines  PENSTOCK_STATE_DIR={folder / 'state'} penstock dead-letters list {NAME}",
    ])


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds else "-"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first one to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )
