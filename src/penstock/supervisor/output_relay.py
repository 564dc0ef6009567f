"""What workers print, on its way to the caller in whole lines: from each slot's two pipes to the caller's socket.

While the caller does not read, nothing is read from the pipes either: they fill, and their writers wait.
"""

from __future__ import annotations

import os
import selectors
from collections.abc import Sequence
from functools import partial

from penstock.channel.bell import open_fifo
from penstock.plan.paths import SlotPaths
from penstock.standard_streams import is_full
from penstock.supervisor import protocol
from penstock.supervisor.caller_link import CallerLink
from penstock.supervisor.protocol import Output
from penstock.supervisor.whole_lines import WholeLines


class _Pipe:
    """One pipe. Output with an empty label goes to the caller's standard output as it is."""

    def __init__(self, fd: int, label: str) -> None:
        self.fd = fd
        self.label = label
        self.text = WholeLines()


class OutputPipes:
    """The two pipes of one slot."""

    def __init__(self, paths: SlotPaths, label: str) -> None:
        self.log = _Pipe(open_fifo(paths.log, "the pipe for printed output"), label)
        self.stdout = _Pipe(open_fifo(paths.stdout, "the pipe to standard output"), "")

    @property
    def both(self) -> tuple[_Pipe, _Pipe]:
        return self.log, self.stdout

    @property
    def full(self) -> bool:
        """True: who prints waits for somebody to read."""
        return any(is_full(pipe.fd) for pipe in self.both)


class OutputRelay:
    """The pipes of all slots."""

    def __init__(self, pipes: Sequence[OutputPipes], caller: CallerLink, selector: selectors.BaseSelector) -> None:
        self._pipes = [pipe for of_slot in pipes for pipe in of_slot.both]
        self._caller = caller
        self._selector = selector
        self._waits = False
        """True: what workers print stays in their pipes, because the caller is behind."""
        self._watch()

    def mind_the_caller(self) -> None:
        """While it does not read, what workers print is not looked at, or each look would end at once."""
        if self._caller.behind == self._waits:
            return
        self._waits = self._caller.behind
        if not self._waits:
            self._watch()
            return
        for pipe in self._pipes:
            self._selector.unregister(pipe.fd)

    def pass_on(self, pipe: _Pipe, *, all_of_it: bool = False) -> None:
        """What is in a pipe now, as far as the caller takes it."""
        while all_of_it or not self._caller.behind:
            try:
                data = os.read(pipe.fd, protocol.OUTPUT_BYTES)
            except BlockingIOError:
                return
            lines = pipe.text.add(data)
            if lines:
                self._caller.say(Output(pipe.label, lines))

    def drain(self) -> None:
        """What the workers printed last: no more than their pipes hold, so even a caller that is behind gets it."""
        for pipe in self._pipes:
            self.pass_on(pipe, all_of_it=True)
            if rest := pipe.text.last():
                self._caller.say(Output(pipe.label, rest))

    def _watch(self) -> None:
        for pipe in self._pipes:
            self._selector.register(pipe.fd, selectors.EVENT_READ, partial(self.pass_on, pipe))
