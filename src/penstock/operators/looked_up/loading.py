"""Reads a bounded source to its end, for whoever needs all of its rows at once: tables that rows are looked up in."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from typing import Any

from penstock import columns
from penstock.batch import Lines
from penstock.errors import SourceDamaged
from penstock.operator import Context
from penstock.options import parse_duration
from penstock.source import EndOfSplit, Reader, Source, WithRejected


def rows_of_source(source: Source[Any], context: Context) -> Iterator[Any]:
    """All rows. Raises what the source raises, and `SourceDamaged` for what is no row: a table must be whole."""
    parse = _parser(source)
    for split in source.splits().values():
        reader = source.open(split, None, context)
        try:
            for batch in _batches(reader, source):
                yield from batch if parse is None else map(parse, batch)
        finally:
            reader.close()


def _parser(source: Source[Any]) -> Callable[[Any], Any] | None:
    if source.parse is None:
        return None
    parse, target = source.parse.function(), source.target

    def parsed(record: Any) -> Any:
        try:
            return parse(record)
        except Exception as error:
            raise SourceDamaged(target, f"{_short(record)} is no row of it ({error})") from error

    return parsed


def _batches(reader: Reader[Any], source: Source[Any]) -> Iterator[list[Any]]:
    while True:
        try:
            batch = reader.read()
        except EndOfSplit:
            return
        if batch is None:
            _wait(reader)
            continue
        if isinstance(batch, WithRejected):
            for rejected in batch.rejected.values():
                raise SourceDamaged(source.target, f"it has what is no row: {rejected.reason}")
            batch = batch.batch
        if isinstance(batch, Lines):
            yield batch.split()
        elif hasattr(batch, "__arrow_c_stream__"):
            yield columns.table_to_rows(columns.as_table(batch), source.row_type)
        else:
            yield list(batch)


def _wait(reader: Reader[Any]) -> None:
    descriptor, after_s = reader.fileno(), parse_duration(reader.poll_after)
    if descriptor is None:
        time.sleep(after_s)
    else:
        select.select([descriptor], [], [], after_s)


def _short(record: object) -> str:
    text = repr(record)
    return text if len(text) <= 200 else f"{text[:200]}…"
