"""The operators behind one node of a stage's tree, run over rows that the node gave without being given one.

What time makes a keyed operator give (windows that close, timers, the end of the input) goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.process.row_failure import Failure


class Runs(Protocol):
    """`PlainRows`, or `BatchTree`."""

    def run(self, rows: list[Any], outs: Sequence[Out], *, stop_at_failure: bool) -> list[Failure]: ...


class Behind:
    """What is behind one node."""

    def __init__(
        self, nodes: Sequence[Node], leaves: Sequence[int], node: int, make: Callable[[list[int], list[int]], Runs]
    ) -> None:
        """`make(numbers, leaves)`: what runs these nodes, whose parents and leaves are renumbered."""
        members: list[int] = []
        for number, other in enumerate(nodes):
            if other.parent == node or other.parent in members:
                members.append(number)
        at = {node: -1, **{number: place for place, number in enumerate(members)}}
        self._outs = [out for out, leaf in enumerate(leaves) if leaf in at]
        self._runs = make(members, [at[leaves[out]] for out in self._outs]) if members else None

    @property
    def runs(self) -> bool:
        """True: there are operators behind it."""
        return self._runs is not None

    def run(self, rows: Any, outs: Sequence[Out], stop_at_failure: bool) -> list[Failure]:
        """All rows; gives those that failed. `outs`: of all leaves of the stage."""
        mine = [outs[out] for out in self._outs]
        if self._runs is not None:
            return self._runs.run(rows, mine, stop_at_failure=stop_at_failure)
        for out in mine:
            out.add(rows)
        return []
