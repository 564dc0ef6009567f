"""`penstock checkpoints`: what a store holds, whether it is whole, and how to get rid of it.

Reads stores only: no user code is imported, and no run is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import click
import msgspec

from penstock.checkpoints.deletion import delete_checkpoints
from penstock.checkpoints.history import Found, Reading, manifest_of, read_log
from penstock.checkpoints.manifest import Manifest, length_of
from penstock.checkpoints.store import CheckpointStore
from penstock.checkpoints.stores import open_store, pipelines_in
from penstock.checkpoints.verify import Verdict, verify
from penstock.cli.exit_codes import ExitCode
from penstock.errors import NoSuchCheckpoint
from penstock.metrics import text
from penstock.names import did_you_mean
from penstock.store_address import StoreAddress, parse_store
from penstock.terminal_text import visible, visible_json, visible_lines


def _address(ctx: click.Context, param: click.Parameter, value: str) -> StoreAddress:
    """A STORE argument."""
    try:
        return parse_store(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc), ctx, param) from exc


_store_argument = click.argument("address", callback=_address, metavar="STORE")
_pipeline_option = click.option("--pipeline", metavar="NAME", help="The pipeline, if the store holds several.")
_format_option = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)


@click.group("checkpoints")
def checkpoints() -> None:
    """Show, verify and delete the checkpoints in a store.

    STORE is a path, file:///path or s3://bucket/prefix, as it was given to --checkpoint.
    """


@checkpoints.command("list")
@_store_argument
@_pipeline_option
@_format_option
def list_checkpoints(address: StoreAddress, pipeline: str | None, form: str) -> None:
    """List the checkpoints in STORE, newest last."""
    names = pipelines_in(address) if pipeline is None else [_known(address, pipeline)]
    readings = {name: read_log(open_store(address, name)) for name in names}
    if form == "json":
        _print_json([_summary(name, found) for name, reading in readings.items() for found in reading.found])
        return
    if not any(reading.found for reading in readings.values()):
        click.echo(visible(f"no checkpoints in {address}"))
    for name, reading in readings.items():
        if reading.found:
            click.echo(visible_lines("\n".join(_table(name, reading))))


@checkpoints.command("show")
@_store_argument
@click.argument("checkpoint", metavar="ID")
@_pipeline_option
@_format_option
def show_checkpoint(address: StoreAddress, checkpoint: str, pipeline: str | None, form: str) -> None:
    """Show what checkpoint ID holds of each stage, queue and log."""
    manifest = manifest_of(_open(address, pipeline), checkpoint)
    if form == "json":
        _print_json(_detail(manifest))
    else:
        click.echo(visible_lines("\n".join(_lines(manifest))))


@checkpoints.command("verify")
@_store_argument
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_pipeline_option
@_format_option
@click.pass_context
def verify_checkpoints(
    ctx: click.Context, address: StoreAddress, ids: tuple[str, ...], pipeline: str | None, form: str
) -> None:
    """Read checkpoints whole, all of them if no ID is given. Exits with 3 if one is damaged."""
    store = _open(address, pipeline)
    verdicts = verify(store, _chosen(store, ids))
    damaged = False
    for verdict in verdicts if form == "text" else ():
        damaged |= bool(verdict.problems)
        click.echo(visible_lines(_said(verdict)))
    if form == "json":
        found = list(verdicts)
        damaged = any(verdict.problems for verdict in found)
        _print_json([
            {"id": str(verdict.number), "whole": not verdict.problems, "problems": verdict.problems}
            for verdict in found
        ])
    if damaged:
        ctx.exit(ExitCode.REFUSED)


@checkpoints.command("delete")
@_store_argument
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@_pipeline_option
@click.option("--force", is_flag=True, help="The newest one, too. A run that is still up can add none any more.")
def delete(address: StoreAddress, ids: tuple[str, ...], pipeline: str | None, force: bool) -> None:
    """Delete checkpoints, savepoints included. What other checkpoints need of them stays."""
    doomed = delete_checkpoints(_open(address, pipeline), ids, force=force)
    numbers = ", ".join(str(number) for number in doomed.numbers)
    click.echo(f"deleted {numbers}" if numbers else "deleted nothing")


# Which store, which pipeline, which checkpoints.


def _open(address: StoreAddress, pipeline: str | None) -> CheckpointStore:
    if pipeline is not None:
        return open_store(address, _known(address, pipeline))
    names = pipelines_in(address)
    if not names:
        raise click.UsageError(f"no checkpoints in {address}; check the address")
    if len(names) > 1:
        raise click.UsageError(f"{address} holds the checkpoints of several pipelines; pass --pipeline with one of: "
                               f"{', '.join(names)}")
    return open_store(address, names[0])


def _known(address: StoreAddress, pipeline: str) -> str:
    names = pipelines_in(address)
    if pipeline not in names:
        remedy = did_you_mean(pipeline, names) if names else "there are none at all; check the address"
        raise click.UsageError(f"no checkpoints of {pipeline!r} in {address}; {remedy}")
    return pipeline


def _chosen(store: CheckpointStore, ids: Sequence[str]) -> list[Found]:
    found = {str(each.number): each for each in read_log(store).found}
    for wanted in ids:
        if wanted not in found:
            raise NoSuchCheckpoint(store.where, wanted)
    return [found[wanted] for wanted in dict.fromkeys(ids)] if ids else list(found.values())


# As text.


def _table(name: str, reading: Reading) -> Iterator[str]:
    yield f"{name}:"
    yield f"  {'ID':>6}  {'TAKEN':19}  {'AGE':>10}  {'SIZE':>10}  {'NEW':>10}  KIND"
    for found in reading.found:
        if found.manifest is None:
            yield f"  {found.number:>6}  cannot be read; `penstock checkpoints verify` says why"
            continue
        made = found.manifest
        age = text.span(max(time.time() - made.taken_s, 0.0))
        yield (
            f"  {made.number:>6}  {_when(made.taken_s)}  {age:>10}  {text.size(made.content_bytes):>10}  "
            f"{text.size(made.own_bytes):>10}  {_kind(made)}"
        )


def _lines(manifest: Manifest) -> Iterator[str]:
    cut = manifest.cut
    yield f"id        {manifest.id}, {_kind(manifest)}"
    yield f"pipeline  {manifest.pipeline}"
    yield f"taken     {_when(manifest.taken_s)}"
    yield f"run       {cut.run_id}, lineage {manifest.lineage}, penstock {manifest.program}"
    yield f"size      {text.size(manifest.content_bytes)}, of which new {text.size(manifest.own_bytes)}"
    yield f"slots     {len(cut.slots)}"
    for channel in cut.channels:
        yield f"queue     {channel.name}: {text.size(length_of(channel.chunks))}"
    for log in cut.logs:
        yield f"log       {log.path}: {text.size(log.length)} in {len(log.chunks)} chunks"
    for file in cut.files:
        yield f"file      {file.path}: {text.size(length_of(file.chunks))}"
    for part, line in cut.layout.items():
        yield f"layout    {part}: {line}"


def _said(verdict: Verdict) -> str:
    if not verdict.problems:
        return f"{verdict.number}: whole ({text.size(verdict.read_bytes)} read)"
    return "\n".join(f"{verdict.number}: damaged: {problem}" for problem in verdict.problems)


def _kind(manifest: Manifest) -> str:
    return "savepoint" if manifest.savepoint else "checkpoint"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


# As JSON.


def _print_json(told: object) -> None:
    click.echo(visible_json(msgspec.json.encode(told).decode()))


def _summary(name: str, found: Found) -> dict[str, object]:
    made = found.manifest
    if made is None:
        return {"pipeline": name, "id": str(found.number), "problem": str(found.problem)}
    return {
        "pipeline": name, "id": made.id, "taken_s": made.taken_s, "savepoint": made.savepoint,
        "bytes": made.content_bytes, "new_bytes": made.own_bytes, "lineage": made.lineage, "run_id": made.cut.run_id,
    }


def _detail(manifest: Manifest) -> dict[str, object]:
    cut = manifest.cut
    return {
        **_summary(manifest.pipeline, Found(manifest.number, manifest)),
        "penstock": manifest.program, "layout": cut.layout,
        "slots": [f"{slot.group}.{slot.number}" for slot in cut.slots],
        "queues": {channel.name: length_of(channel.chunks) for channel in cut.channels},
        "logs": {log.path: log.length for log in cut.logs},
        "files": {file.path: length_of(file.chunks) for file in cut.files},
    }
