"""Sources and sinks with a stop watch: when the first row was read and when the last writer was closed.

What starts and stops a pipeline is measured apart; peers are measured the same way, from first item to closed sink.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.batch import Batch
from penstock.operator import Context
from penstock.operators.verb import Operator
from penstock.sink import Delivery, Sink, Writer, WrittenText
from penstock.source import Position, Reader, Source


@dataclass(frozen=True)
class StopWatch:
    """Stamps of all workers, in files below `folder`."""

    folder: Path

    def stamp(self, name: str, worker: int) -> None:
        """Now; the first one of a name and worker counts."""
        path = self.folder / f"{name}.{worker}"
        if not path.exists():
            path.write_text(str(time.monotonic_ns()))

    def seconds(self) -> float:
        """From the first row read to the last writer closed."""
        began = min(int(path.read_text()) for path in self.folder.glob("began.*"))
        ended = max(int(path.read_text()) for path in self.folder.glob("ended.*"))
        return (ended - began) / 1e9


@dataclass(frozen=True)
class ClockedSource(Source[Any]):
    """A source that stamps `began` when it is first opened."""

    inner: Source[Any]
    watch: StopWatch

    @property
    def label(self) -> str:
        return self.inner.label

    @property
    def row_type(self) -> Any:
        return self.inner.row_type

    @property
    def parse(self) -> Operator | None:
        return self.inner.parse

    @property
    def modules(self) -> Sequence[str]:
        return self.inner.modules

    def splits(self) -> Mapping[str, Any]:
        return self.inner.splits()

    def open(self, split: Any, position: Position | None, context: Context) -> Reader[Any]:
        self.watch.stamp("began", context.slot)
        return self.inner.open(split, position, context)


@dataclass(frozen=True)
class ClockedSink(Sink[Any]):
    """A sink that stamps `ended` when its writer is closed."""

    inner: Sink[Any]
    watch: StopWatch

    @property
    def label(self) -> str:
        return self.inner.sink_label

    @property
    def delivery(self) -> Delivery:
        return self.inner.delivery

    @property
    def modules(self) -> Sequence[str]:
        return self.inner.modules

    @property
    def text(self) -> Callable[[Batch[Any]], WrittenText] | None:
        return self.inner.text

    def refuse(self) -> None:
        self.inner.refuse()

    def prepare(self) -> None:
        self.inner.prepare()

    def writer(self, position: Position | None, context: Context) -> Writer[Any]:
        return _ClockedWriter(self.inner.writer(position, context), self.watch, context.slot)


class _ClockedWriter(Writer[Any]):
    def __init__(self, inner: Writer[Any], watch: StopWatch, slot: int) -> None:
        self._inner = inner
        self._watch = watch
        self._slot = slot

    def write(self, batch: Batch[Any]) -> None:
        self._inner.write(batch)

    def position(self) -> Position | None:
        return self._inner.position()

    def finish(self) -> None:
        self._inner.finish()

    def close(self) -> None:
        self._inner.close()
        self._watch.stamp("ended", self._slot)
