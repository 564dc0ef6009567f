"""The text of `penstock status`: tables at most 80 columns wide, what is wrong in words, what killed runs left.

Pure: takes statuses, gives lines. Only paths may be longer than a line; they are never cut.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime

import click

from penstock.engine.rundir import DAMAGED, REMOVING, FoundRun
from penstock.event_time import shown_moment
from penstock.metrics import text
from penstock.metrics.diagnosis import explain, fill
from penstock.status import CheckpointStatus, EdgeStatus, EventTimeStatus, StageStatus, Status
from penstock.terminal_text import visible

WIDTH = 80
_GAP = 2
_STAGE_HEAD = ("stage", "workers", "rows", "rows/s", "busy", "idle", "blocked", "batch p99")
_TIME_HEAD = ("event time", "has come to", "behind", "idle")
_EDGE_HEAD = ("queue", "waiting rows", "size", "full", "oldest")


def run_lines(status: Status, run: FoundRun, cores: int | None, *, empty_queues: bool = True) -> Iterator[str]:
    """Everything about one running pipeline; queues in which nothing waits are shown on demand."""
    yield _head(status, run)
    yield ""
    yield from _stage_table(status)
    edges = [edge for edge in status.edges.values() if empty_queues or edge.queued_rows]
    if edges:
        yield ""
        yield from table([_EDGE_HEAD, *map(_edge_row, edges)])
    times = list(_time_rows(status))
    if times:
        yield ""
        yield from table([_TIME_HEAD, *times])
    yield ""
    if status.end_to_end_p99_s:
        p50, p99 = text.brief(status.end_to_end_p50_s), text.brief(status.end_to_end_p99_s)
        yield f"end to end: p50 {p50}, p99 {p99}"
    yield from wrap(explain(status, cores=cores))
    if status.resumed is not None:
        yield from wrap(f"resumed {visible(status.resumed)}")
    if status.checkpoints is not None:
        yield from _checkpoint_lines(status.checkpoints)
    for stage in status.stages.values():
        yield from _troubles(stage)


def _checkpoint_lines(state: CheckpointStatus) -> Iterator[str]:
    if state.newest:
        size, written = text.size(state.size_bytes), text.size(state.written_bytes)
        yield from wrap(
            f"checkpoint {state.newest}: {text.brief(state.age_s)} ago, took {text.brief(state.took_s)}, {size}, of "
            f"which {written} new"
        )
    else:
        yield "no checkpoint yet"
    if state.last_error is not None:
        yield from wrap(f"checkpoints: {state.failed} failed, the last one by this: {visible(state.last_error)}")


def brief_lines(status: Status, run: FoundRun, cores: int | None) -> Iterator[str]:
    """One running pipeline among others."""
    yield _head(status, run)
    yield from wrap(explain(status, cores=cores))
    yield text.shorten(f"more: penstock status {status.pipeline}", WIDTH)


def starting_lines(run: FoundRun) -> Iterator[str]:
    """A run that has nothing to show yet."""
    yield click.style(text.shorten(f"{visible(run.name)}: starting, process {run.pid}", WIDTH), bold=True)


def left_lines(run: FoundRun) -> Iterator[str]:
    """What a run left that did not end by itself, and what to do about it."""
    name, size = visible(run.name), text.size(run.size_bytes)
    yield click.style(text.shorten(f"{name}: left by {_what_left(run)}, {size}", WIDTH), bold=True)
    yield f"  in {visible(str(run.path))}"
    if run.phase == "ended":
        yield f"  reports its end when run again in {visible(run.cwd)}"
    elif run.phase not in (DAMAGED, REMOVING):
        yield f"  resumes when run again in {visible(run.cwd)}"
    yield f"  discard it with: penstock clean {name}"


def _what_left(run: FoundRun) -> str:
    started = datetime.fromtimestamp(run.started_s).strftime("%Y-%m-%d %H:%M")
    match run.phase:
        case "damaged":
            return "a run whose manifest is damaged"
        case "removing":
            return "a removal that was killed"
        case "ended":
            return f"a run of {started} that was killed at its end"
        case "failed":
            return f"a failed run of {started}"
        case _:
            return f"a killed run of {started}"


def cut(lines: list[str], height: int) -> list[str]:
    """At most this many lines; the last one tells how many did not fit."""
    if len(lines) <= height:
        return lines
    return [*lines[: height - 1], f"… {len(lines) - height + 1} more lines: enlarge the window"]


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need, the first one as what is left of 80 allows; numbers stand at the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths[0] = max(8, min(widths[0], WIDTH - sum(widths[1:]) - _GAP * (len(widths) - 1)))
    for row in rows:
        first, *others = row
        cells = [text.shorten(first, widths[0]).ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield (" " * _GAP).join(cells)


def wrap(sentence: str) -> list[str]:
    """A sentence on lines of 80."""
    return textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _head(status: Status, run: FoundRun) -> str:
    head = f"{status.pipeline}: {status.phase}, {text.span(status.uptime_s)}, process {run.pid}"
    return click.style(text.shorten(head, WIDTH), bold=True)


def _stage_table(status: Status) -> Iterator[str]:
    lines = table([_STAGE_HEAD, *map(_stage_row, status.stages.values())])
    yield next(lines)
    for line, name in zip(lines, status.stages, strict=True):
        yield click.style(line, fg="yellow") if name == status.bottleneck else line


def _stage_row(stage: StageStatus) -> tuple[str, ...]:
    return (
        stage.name,
        str(stage.workers) if stage.workers else "caller",
        # A source that counts nothing in still counts what it gives.
        text.count(stage.rows_in or stage.rows_out),
        text.rate(stage.rows_in_per_s or stage.rows_out_per_s),
        text.share(stage.busy_share),
        text.share(stage.input_wait_share),
        text.share(stage.output_wait_share),
        text.brief(stage.batch_p99_s),
    )


def _edge_row(edge: EdgeStatus) -> tuple[str, ...]:
    return (
        edge.name,
        text.count(edge.queued_rows),
        text.size(edge.queued_bytes),
        text.share(fill(edge)),
        text.brief(edge.oldest_s),
    )


def _time_rows(status: Status) -> Iterator[tuple[str, ...]]:
    """Each stage whose rows have event times, and what it waits for."""
    for stage in status.stages.values():
        if stage.event_time is None:
            continue
        yield _time_row(stage.name, stage.event_time)
        if stage.splits_event_time is not None:
            yield _time_row("  splits", stage.splits_event_time)
        for edge in status.edges.values():
            if edge.event_time is not None and edge.name.partition("#")[0].endswith(f"->{stage.name}"):
                yield _time_row(f"  {edge.name}", edge.event_time)


def _time_row(name: str, told: EventTimeStatus) -> tuple[str, ...]:
    come = "the end" if told.ended else "-" if told.watermark_s is None else _moment(told.watermark_s)
    behind = "-" if told.lag_s is None else "ahead" if told.lag_s < 0 else text.brief(told.lag_s)
    return name, come, behind, f"{told.idle_inputs} of {told.inputs}" if told.idle_inputs else "-"


def _moment(seconds: float) -> str:
    return shown_moment(int(seconds * 1e6) // 1_000_000 * 1_000_000)


def _troubles(stage: StageStatus) -> Iterator[str]:
    counts = {
        "dead letter": stage.dead_letters, "skipped row": stage.skipped, "retry": stage.retries,
        "late row": stage.late, "restart": stage.restarts,
    }  # fmt: skip
    parts = [f"{text.count(n)} {_plural(noun, n)}" for noun, n in counts.items() if n]
    if parts:
        yield from wrap(f"{stage.name}: {', '.join(parts)}")
    if stage.last_error:
        # The last line of a traceback is the error itself.
        error = visible(stage.last_error.splitlines()[-1].strip())
        yield text.shorten(f"{stage.name}: last error: {error}", WIDTH)


def _plural(noun: str, number: int) -> str:
    if number == 1:
        return noun
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
