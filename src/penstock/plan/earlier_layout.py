"""The layout of an earlier run, read back from the lines that were kept of it (`fingerprint`). Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_STAGE, _EDGE = "stage ", "edge "
_CALLER = "read by the caller"


class EarlierStage(msgspec.Struct, frozen=True):
    """A stage as it was."""

    name: str
    order: str
    """`ordered` or `unordered`."""
    ends: str
    """What it read and wrote, in the words of the fingerprint; empty: nothing."""
    group: str

    @property
    def caller(self) -> bool:
        return self.ends.endswith(_CALLER)


class EarlierEdge(msgspec.Struct, frozen=True):
    """An edge as it was."""

    name: str
    queue_bytes: int
    how: str
    """Its route, its key, whether it was merged in turn or joined."""
    rows: str

    @property
    def sender(self) -> str:
        return self.name.rpartition("->")[0]

    @property
    def receiver(self) -> str:
        return self.name.rpartition("->")[2].partition("#")[0]

    @property
    def counts_turns(self) -> bool:
        """True: its turns were numbered, and taken in that order."""
        return "in turn" in self.how or self.how.startswith("deal")


class EarlierLayout(msgspec.Struct, frozen=True):
    """All of it, by name, in the order of the plan."""

    stages: dict[str, EarlierStage]
    edges: dict[str, EarlierEdge]


def earlier_layout(lines: Mapping[str, str]) -> EarlierLayout:
    """What `fingerprint` gave. Raises `ValueError` for lines of another form."""
    stages = {name[len(_STAGE) :]: line for name, line in lines.items() if name.startswith(_STAGE)}
    edges = {name[len(_EDGE) :]: line for name, line in lines.items() if name.startswith(_EDGE)}
    return EarlierLayout(
        {name: _stage(name, line) for name, line in stages.items()},
        {name: _edge(name, line) for name, line in edges.items()},
    )


def _stage(name: str, line: str) -> EarlierStage:
    order, _, rest = line.partition("; ")
    ends, _, group = f"; {rest}".rpartition("; slot group ")
    if not group:
        raise ValueError(f"stage {name}: {line}")
    return EarlierStage(name, order, ends.removeprefix("; "), group)


def _edge(name: str, line: str) -> EarlierEdge:
    how, _, rest = line.partition("; queues of ")
    size, _, rows = rest.partition(" bytes; rows ")
    if not size.isdecimal():
        raise ValueError(f"edge {name}: {line}")
    return EarlierEdge(name, int(size), how, rows)
