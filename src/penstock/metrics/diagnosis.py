"""Names the stage that limits a pipeline, and says in words why and what more workers would bring.

Pure: looks at a status only. The bottleneck is busy itself, what feeds it waits for room, what it feeds waits for rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.status import EdgeStatus, StageStatus, Status

BLOCKED_SHARE = 0.25
"""A stage that waits this much of its time for room is held back by a stage behind it."""
SATURATED_SHARE = 0.85
"""Where nobody waits for room, a stage so busy is the limit: mostly a source."""
STARVED_SHARE = 0.5
"""A branch that waits this much of its time for rows is held back by another one."""
UNEVEN_SHARE = 0.5
"""A bottleneck with several workers that are less busy than this has one hot worker."""
_LEAST_GAIN = 0.05
_LEAST_BUSY = 0.005


def ends(edge: str) -> tuple[str, str]:
    """Sender and receiver of an edge, by its name `sender->receiver` or `sender->receiver#2`."""
    sender, _, receiver = edge.partition("->")
    return sender, receiver.partition("#")[0]


def find_bottleneck(stages: Mapping[str, StageStatus], edges: Mapping[str, EdgeStatus]) -> str | None:
    """The limiting stage; None: nothing is saturated."""
    blocked = [s for s in stages.values() if s.output_wait_share >= BLOCKED_SHARE and _outputs(s.name, edges)]
    if blocked:
        start = max(blocked, key=lambda s: s.output_wait_share)
        return _follow(start.name, stages, edges)
    busiest = max(stages.values(), key=lambda s: s.busy_share, default=None)
    return busiest.name if busiest is not None and busiest.busy_share >= SATURATED_SHARE else None


def _follow(name: str, stages: Mapping[str, StageStatus], edges: Mapping[str, EdgeStatus]) -> str:
    """Downstream from a blocked stage, always along the fullest queue, to the first that is not blocked itself."""
    while stages[name].output_wait_share >= BLOCKED_SHARE:
        outputs = _outputs(name, edges)
        if not outputs:
            break
        # Of two equally full queues the one before the busier stage blocks.
        fullest = max(outputs, key=lambda e: (round(fill(e), 1), _load(stages[ends(e.name)[1]])))
        name = ends(fullest.name)[1]
    return name


def _outputs(name: str, edges: Mapping[str, EdgeStatus]) -> list[EdgeStatus]:
    return [edge for edge in edges.values() if ends(edge.name)[0] == name]


def _inputs(name: str, edges: Mapping[str, EdgeStatus]) -> list[EdgeStatus]:
    return [edge for edge in edges.values() if ends(edge.name)[1] == name]


def _load(stage: StageStatus) -> float:
    return stage.busy_share + stage.output_wait_share


def fill(edge: EdgeStatus) -> float:
    """Share of an edge's memory that is taken."""
    return min(1.0, edge.queued_bytes / edge.capacity_bytes) if edge.capacity_bytes else 0.0


def explain(status: Status, *, cores: int | None = None) -> str:
    """A sentence for people. `cores`: processors of the machine, where known; beyond them workers bring nothing."""
    if status.bottleneck is None:
        return _explain_none(status)
    return "; ".join(_clauses(status, status.stages[status.bottleneck], cores))


def _explain_none(status: Status) -> str:
    busiest = max(status.stages.values(), key=lambda s: s.busy_share, default=None)
    if busiest is None or status.phase not in ("running", "draining"):
        return "nothing to diagnose"
    if busiest.busy_share < _LEAST_BUSY:
        return "nothing is saturated; every stage is idle"
    return f"nothing is saturated; the busiest stage is {busiest.name} ({_percent(busiest.busy_share)} busy)"


def _clauses(status: Status, stage: StageStatus, cores: int | None) -> Iterator[str]:
    yield f"{stage.name} is the bottleneck: {_why(status, stage)}"
    for name in _feeding(status, stage.name):
        waits = status.stages[name].output_wait_share
        if waits >= BLOCKED_SHARE:
            yield f"{name} waits {_percent(waits)} for room"
    for name in _starved_siblings(status, stage.name):
        yield f"it holds back {name}, which waits {_percent(status.stages[name].input_wait_share)} for rows"
    advice = _advice(status, stage, cores)
    if advice:
        yield advice


def _why(status: Status, stage: StageStatus) -> str:
    queues = _inputs(stage.name, status.edges)
    full = f"its queue is {_percent(max(map(fill, queues)))} full" if queues else "it has no queue before it"
    if stage.workers == 0:
        return f"the program that takes its rows is slower than what gives them, {full}"
    return f"{_percent(stage.busy_share)} busy, {full}"


def _feeding(status: Status, name: str) -> list[str]:
    return list(dict.fromkeys(ends(edge.name)[0] for edge in _inputs(name, status.edges)))


def _starved_siblings(status: Status, name: str) -> list[str]:
    """Other branches of a fan-out that the bottleneck is part of, and that wait because of it."""
    siblings = (
        ends(edge.name)[1] for sender in _feeding(status, name) for edge in _outputs(sender, status.edges)
        if status.stages[sender].output_wait_share >= BLOCKED_SHARE
    )
    starved = (s for s in siblings if s != name and status.stages[s].input_wait_share >= STARVED_SHARE)
    return list(dict.fromkeys(starved))


def _advice(status: Status, stage: StageStatus, cores: int | None) -> str:
    if stage.workers == 0:
        return ""
    if stage.workers > 1 and stage.busy_share < UNEVEN_SHARE:
        return "its workers share the rows unevenly: one key or one queue holds most of them"
    in_use = sum(s.busy_share * s.workers for s in status.stages.values())
    if cores is not None and in_use >= cores * SATURATED_SHARE:
        noun = "core is" if cores == 1 else f"{cores} cores are"
        return f"the machine's {noun} in use: another worker helps only where {stage.name} waits for something outside"
    gain = _gain(status, stage)
    if gain < _LEAST_GAIN:
        return "one more worker would bring little: the next stage is as busy"
    splits = " if its source has more to split" if not _inputs(stage.name, status.edges) else ""
    return f"one more worker would bring about +{_percent(gain)}{splits}"


def _gain(status: Status, stage: StageStatus) -> float:
    """Share by which the pipeline would be faster with one worker more: until the next busiest stage is full."""
    others = max((s.busy_share for s in status.stages.values() if s.name != stage.name), default=0.0)
    until_next = 1 / others - 1 if others > 0 else float("inf")
    return min(1 / stage.workers, until_next)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"
