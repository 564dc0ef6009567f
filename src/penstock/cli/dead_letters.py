"""`penstock dead-letters`: rows that were set aside, as text for people or JSON for programs.

Reads the stored records only: no user code is imported to look at its failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.cli.directories import state_dir_option
from penstock.dead_letter_frames import DeadLetterRecord, Frame, LetterSummary, read_forward
from penstock.dead_letter_store import Newest, folders_in, letter_files, read_frames, store_dir
from penstock.names import is_name
from penstock.terminal_text import visible, visible_json, visible_lines

_WIDTH = 80


@click.group("dead-letters")
def dead_letters() -> None:
    """Show rows that failed for good, with their errors."""


_stage_option = click.option("--stage", help="Show only dead letters of this stage.")


@dead_letters.command("list")
@click.argument("name", required=False)
@_stage_option
@state_dir_option
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Show the newest N; 0: all.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_letters(name: str | None, stage: str | None, state_dir: Path | None, limit: int, form: str) -> None:
    """List the newest dead letters of pipeline NAME, newest last."""
    name = _pipeline(name, state_dir)
    found = _found(name, stage, state_dir, limit)
    if form == "json":
        _print_json(found, name)
    else:
        _print_text(found, name)


@dead_letters.command("show")
@click.argument("words", nargs=-1, metavar="[NAME] ID")
@state_dir_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show_letter(words: tuple[str, ...], state_dir: Path | None, form: str) -> None:
    """Show one dead letter in full: error, traceback, row."""
    if not 1 <= len(words) <= 2:
        raise click.UsageError("give one ID from `penstock dead-letters list`, optionally after the pipeline's NAME")
    names = [_pipeline(words[0], state_dir)] if len(words) == 2 else _pipelines(state_dir)
    for name in names:
        for path in letter_files(name, state_dir=state_dir):
            # The ID begins with where the letter stands: no other file need be read.
            for frame in read_forward(path) if words[-1].startswith(f"{path.parent.name}-{path.stem}-") else ():
                if frame.summary.id == words[-1]:
                    click.echo(_json_line(frame.record()) if form == "json" else _whole(frame.record()))
                    return
    raise click.UsageError(f"no dead letter has the ID {words[-1]!r}; `penstock dead-letters list` shows them")


@dead_letters.command("export")
@click.argument("name", required=False)
@_stage_option
@state_dir_option
@click.option("--limit", type=click.IntRange(min=0), default=0, show_default=True, help="Export the newest N; 0: all.")
@click.option("--format", "form", type=click.Choice(["jsonl", "json", "rows"]), default="jsonl", show_default=True)
def export_letters(name: str | None, stage: str | None, state_dir: Path | None, limit: int, form: str) -> None:
    """Write all dead letters of pipeline NAME to standard output, oldest first.

    jsonl: one JSON object per line; json: one array; rows: only the rows, one JSON value per line.
    """
    name = _pipeline(name, state_dir)
    frames = _found(name, stage, state_dir, limit).letters
    if form == "json":
        _print_array(frames)
        return
    for frame in frames:
        record = frame.record()
        click.echo(visible_json(record.row_json) if form == "rows" else _json_line(record))


@dataclass(frozen=True, slots=True)
class _Found:
    letters: Iterator[Frame]
    """Those that are shown, oldest first."""
    by_stage: Counter[str]
    limit: int

    @property
    def total(self) -> int:
        return self.by_stage.total()


def _found(name: str, stage: str | None, state_dir: Path | None, limit: int) -> _Found:
    """The newest, or all; rows stay where they are until one is shown."""
    newest = Newest(name, state_dir=state_dir)
    by_stage = newest.by_stage
    if stage is not None:
        by_stage = Counter({stage: by_stage[stage]} if by_stage[stage] else {})
    frames = newest.frames() if limit else read_frames(name, state_dir=state_dir)
    letters: Iterator[Frame] = (frame for frame in frames if stage is None or frame.summary.stage == stage)
    if limit:
        letters = iter(list(islice(letters, min(limit, by_stage.total())))[::-1])
    return _Found(letters, by_stage, limit)


def _pipelines(state_dir: Path | None) -> list[str]:
    return [path.name for path in folders_in(store_dir(state_dir)) if is_name(path.name)]


def _pipeline(name: str | None, state_dir: Path | None) -> str:
    """The pipeline meant; one that has no letters is no mistake, a name left out where there are several is."""
    known = _pipelines(state_dir)
    if name is not None:
        if known and name not in known:
            click.echo(f"pipelines with dead letters: {', '.join(known)}", err=True)
        return name
    if len(known) > 1:
        raise click.UsageError(f"several pipelines have dead letters; name one: {', '.join(known)}")
    return known[0] if known else ""


def _print_text(found: _Found, name: str) -> None:
    if not found.total:
        click.echo(f"no dead letters{f' of {visible(name)}' if name else ''}")
        return
    stages = ", ".join(f"{visible(stage)} {count:,}" for stage, count in found.by_stage.most_common())
    click.echo(f"{_count(found.total)} of {visible(name)}: {stages}")
    if 0 < found.limit < found.total:
        click.echo(f"the newest {found.limit:,}; --limit 0 shows all")
    for frame in found.letters:
        record = frame.summary
        click.echo()
        click.echo(visible(record.id))
        where = f"{record.stage}/{record.slot}  {record.operator}{_attempts(record)}".rstrip()
        click.echo(_cut(f"  {_time(record)}  {where}"))
        click.echo(_cut(f"  {_first_line(record.error)}"))
        click.echo(_cut(f"  row: {_first_line(record.row_repr)}"))


def _print_json(found: _Found, name: str) -> None:
    summary = {"pipeline": name, "total": found.total, "by_stage": dict(found.by_stage)}
    head = visible_json(msgspec.json.encode(summary).decode())
    click.echo(f'{head[:-1]},"dead_letters":[', nl=False)
    for index, frame in enumerate(found.letters):
        click.echo(("," if index else "") + _json_line(frame.record()), nl=False)
    click.echo("]}")


def _print_array(frames: Iterator[Frame]) -> None:
    opening = "[\n"
    for frame in frames:
        click.echo(opening + _json_line(frame.record()), nl=False)
        opening = ",\n"
    click.echo("[]" if opening == "[\n" else "\n]")


def _whole(record: DeadLetterRecord) -> str:
    lines = [
        f"id        {record.id}",
        f"pipeline  {record.pipeline}",
        f"stage     {record.stage}/{record.slot}",
        f"operator  {record.operator}",
        f"time      {_time(record)}",
        f"attempts  {record.attempts}",
        f"error     {record.error}",
        f"row       {record.row_repr}",
    ]
    if record.traceback:
        lines += ["", record.traceback.rstrip()]
    return visible_lines("\n".join(lines))


def _json_line(record: DeadLetterRecord) -> str:
    fields: dict[str, Any] = {
        name: getattr(record, name)
        for name in ("id", "pipeline", "stage", "slot", "operator", "time_s", "attempts", "error", "traceback")
    }
    told = msgspec.json.encode({**fields, "row": msgspec.Raw(record.row_json.encode())}).decode()
    return visible_json(told)


def _time(record: LetterSummary) -> str:
    return datetime.fromtimestamp(record.time_s).strftime("%Y-%m-%d %H:%M:%S")


def _count(total: int) -> str:
    return "1 dead letter" if total == 1 else f"{total:,} dead letters"


def _attempts(record: LetterSummary) -> str:
    return f", {record.attempts} attempts" if record.attempts > 1 else ""


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _cut(line: str) -> str:
    line = visible(line)
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
