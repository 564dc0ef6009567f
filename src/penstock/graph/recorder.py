"""Takes down the calls of one pipeline as they are made; `pipeline` writes to it, `Graph` is what it has taken down."""

from __future__ import annotations

import os
import sys

import msgspec

from penstock.graph.graph import Call, Graph, ResultsCall, Where


def calling_line(depth: int) -> Where:
    """File and line of the frame `depth` calls above the caller of this function.

    In a chain over several lines the line is that of the method's own `.name(`.
    """
    frame = sys._getframe(depth + 1)
    return Where(_short(frame.f_code.co_filename), frame.f_lineno)


def _short(path: str) -> str:
    try:
        return path.removeprefix(os.getcwd() + os.sep)
    except OSError:  # the directory is gone, which whatever needs it tells of
        return path


class Recorder(msgspec.Struct):
    """The one mutable thing behind the streams of a pipeline."""

    pipeline: str
    where: Where
    calls: dict[int, Call] = msgspec.field(default_factory=dict)
    strangers: list[Where] = msgspec.field(default_factory=list)
    need_no_sink: set[int] = msgspec.field(default_factory=set)
    """Streams that may end in nothing: `results()` was called on them, or they are the late rows of a window."""

    def add(self, call: Call) -> int:
        """Take down one call; its number stands for the stream it gave."""
        number = len(self.calls)
        self.calls[number] = call
        return number

    def graph(self) -> Graph:
        """What was asked for so far, less what only `results()` read."""
        return self._all().without(frozenset(self.need_no_sink))

    def graph_with_results(self, parent: int, where: Where) -> Graph:
        """The same, with the rows of `parent` going to the caller."""
        calls = {**self.calls, len(self.calls): ResultsCall(where, parent)}
        whole = Graph(self.pipeline, self.where, calls, tuple(self.strangers))
        return whole.without(frozenset(self.need_no_sink))

    def _all(self) -> Graph:
        return Graph(self.pipeline, self.where, dict(self.calls), tuple(self.strangers))
