"""The layout of a plan in readable lines: what must be the same for one run to take over the queues of another.

Stages, queues, row types, targets; not the code, and not how many slots there are (`membership`). The engine stores
the lines and compares.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from penstock.plan.plan import EdgePlan, Plan, Route, StagePlan
from penstock.sequences import SequenceSource
from penstock.signatures.described_type import described_type

ARGUMENTS = "the program's arguments"
"""They may say what is read, or only how much of it: a change is logged, not refused."""


def fingerprint(plan: Plan, arguments: Sequence[str] = ()) -> dict[str, str]:
    """What stands for each stage and edge, by `stage x` and `edge a->b`, and for the program's arguments."""
    lines = {f"stage {name}": _stage(stage) for name, stage in plan.stages.items()}
    lines |= {f"edge {edge.name}": _edge(edge) for edge in plan.edges}
    lines[ARGUMENTS] = _as_text(shlex.join(arguments)) or "none"
    return lines


def _as_text(arguments: str) -> str:
    """Bytes of arguments that are no UTF-8 stand as their escapes: the manifest is JSON."""
    return arguments.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What changed from one layout to another, a line for each; empty: nothing."""
    gone = [f"{name} is gone: {old[name]}" for name in old if name not in new]
    come = [f"{name} is new: {new[name]}" for name in new if name not in old]
    changed = [f"{name}: {_change(old[name], new[name])}" for name in old if new.get(name, old[name]) != old[name]]
    return gone + come + changed


def _change(old: str, new: str) -> str:
    """The parts that differ, where both have the same parts."""
    before, after = old.split("; "), new.split("; ")
    if len(before) != len(after):
        return f"{old} -> {new}"
    return "; ".join(f"{a} -> {b}" for a, b in zip(before, after, strict=True) if a != b)


def _stage(stage: StagePlan) -> str:
    parts = ["ordered" if stage.settings.ordered else "unordered"]
    if stage.source is not None:
        parts.append(f"reads {stage.source.target}")
        if isinstance(stage.source, SequenceSource):
            parts.append(stage.source.contents())
    if stage.sink is not None:
        waits = " at checkpoints" if stage.sink.waits_for_checkpoint else ""
        parts.append(f"writes {stage.sink.target}{waits}")
    if stage.caller:
        parts.append("read by the caller")
    parts.append(f"slot group {stage.slot_group}")
    return "; ".join(parts)


def _edge(edge: EdgePlan) -> str:
    key = f" {edge.key!r}" if isinstance(edge.key, str) else ""
    route = f"{edge.route.value}{key}" if edge.route is Route.HASH else edge.route.value
    merged = (" in turn" if edge.merge else "") + (" joined" if edge.is_right else "")
    return f"{route}{merged}; queues of {edge.channel_bytes} bytes; rows {described_type(edge.row_type)}"
