"""Reads a source to its end and opens writers, the way a worker does; for the tests of the file connectors."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.batch import Lines, rows_of
from penstock.operator import Context
from penstock.sink import Sink, Writer
from penstock.source import EndOfSplit, Reader, Source, WithRejected


def context(slot: int = 0, workers: int = 1) -> Context:
    return Context(pipeline="p", stage="s", slot=slot, workers=workers, attempt=1)


def journaled(position: Any) -> Any:
    """A position as the journal gives it back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(position))


def rest(reader: Reader[Any]) -> list[Any]:
    """All rows up to the end of the split."""
    return [row for rows, _ in steps(reader) for row in rows]


def steps(reader: Reader[Any]) -> list[tuple[list[Any], Any]]:
    """The rows of each read, and the position after it."""
    found = []
    try:
        while (batch := reader.read()) is not None:
            found.append((rows_in(batch), journaled(reader.position())))
    except EndOfSplit:
        pass
    reader.close()
    return found


def rows_in(given: Any) -> list[Any]:
    """The rows of what a reader gave, `Rejected` among them."""
    if not isinstance(given, WithRejected):
        return list(rows_of(given))
    return [given.rejected.get(index, row) for index, row in enumerate(rows_of(given.batch))]


def read_all(source: Source[Any]) -> list[Any]:
    """All rows of all splits, in order, before `parse`."""
    return [row for split in source.splits().values() for row in rest(source.open(split, None, context()))]


def open_writer(sink: Sink[Any], position: Any = None, *, slot: int = 0, workers: int = 1) -> Writer[Any]:
    return sink.writer(journaled(position), context(slot, workers))


def write_all(sink: Sink[Any], *batches: Any) -> None:
    """A fresh run that writes these batches and ends."""
    sink.refuse()
    sink.prepare()
    writer = open_writer(sink)
    for batch in batches:
        writer.write(batch)
    writer.finish()
    writer.close()


def block(*lines: str) -> Lines:
    return Lines("".join(line + "\n" for line in lines).encode(), 1)
