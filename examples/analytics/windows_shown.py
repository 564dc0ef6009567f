"""The demo's second half: computes the windows, loses the machine if asked to, and shows whether all agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from analytics.agreement import TABLES, Agreement, agreement, read_duckdb, read_postgres
from analytics.chaos import lenient, watch
from analytics.findings import WINDOW_QUESTIONS, findings
from analytics.lost_machine import Loss, lose
from analytics.plain import feeds_of
from analytics.summary import Latency, table
from analytics.usage import Options
from analytics.windows import SCHEMA, Into, build

_WIDTH = 80


def show_windows(options: Options, data: Path, folder: Path) -> bool:
    """True: every table is what plain Python computes."""
    database = folder / "windows.duckdb"
    print("\n--- windows by event time ---\n")
    if options.lose_machine:
        print(told(lose(data, folder, options.postgres)))
    else:
        print(_run(options, data, Into(database, options.postgres), folder))
    feeds = feeds_of(data)
    found = [agreement("DuckDB", read_duckdb(database), feeds)]
    if options.postgres is not None:
        found.append(agreement(f"PostgreSQL, schema {SCHEMA}", read_postgres(options.postgres), feeds))
    print(f"\n{compared(found)}\n\n{findings(database, WINDOW_QUESTIONS)}")
    return not any(each.differences for each in found)


def _run(options: Options, data: Path, into: Into, folder: Path) -> str:
    app = build(data, into)
    settings = lenient(app, options.chaos)
    with app.start(fresh=True, settings=settings, state_dir=folder / "state") as handle:
        report, kills = watch(handle, options.chaos, None, Latency())
    killed = f", {kills} workers killed" if kills else ""
    return f"{report.pipeline}: {report.outcome} after {report.duration_s:.1f} s{killed}"


def told(loss: Loss) -> str:
    """The loss in words."""
    lost = (
        f"the machine is lost: {loss.processes} processes killed (kill -9) after {loss.events:,} events, and the run "
        f"directory deleted: {loss.memory_bytes / 2**20:.0f} MiB of memory with all queues, positions and open windows"
    )
    resumed = (
        f"run again, with other numbers of workers: resumes from checkpoint {loss.checkpoint}, which knew of "
        f"{loss.kept:,} events; {loss.events - loss.kept:,} events were read a second time"
    )
    return "\n".join(fill(sentence, _WIDTH, subsequent_indent="  ") for sentence in (lost, resumed))


def compared(found: Sequence[Agreement]) -> str:
    """The tables of each database beside those of plain Python."""
    parts = []
    for each in found:
        rows = [["table", "rows", "events too late", "plain Python"]]
        for name in TABLES:
            wrong = any(difference.startswith(f"{name}:") for difference in each.differences)
            rows.append([name, f"{each.rows[name]:,}", f"{each.late[name]:,}", "DIFFERS" if wrong else "the same"])
        lines = [fill(difference, _WIDTH, subsequent_indent="  ") for difference in each.differences]
        parts.append("\n".join([each.place, table(rows), *lines]))
    return "\n\n".join(parts)
