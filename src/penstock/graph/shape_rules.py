"""Checks of how streams are put together: loose ends, stages without work, routing out of place, names."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.errors import Mistake
from penstock.graph.findings import mistake
from penstock.graph.graph import (
    DEFAULT_EDGE,
    BroadcastCall,
    Call,
    Graph,
    KeyByCall,
    MergeCall,
    OperatorCall,
    ResultsCall,
    SinkCall,
    SourceCall,
    StageCall,
    Where,
    parents_of,
)
from penstock.graph.stages import RESULTS, Stage, Stages, name_of
from penstock.names import PIPELINE_CHARACTERS, STAGE_CHARACTERS, is_name
from penstock.signatures.annotations import shown
from penstock.signatures.callables import fn_name

_NAME_REMEDY = "write small letters, digits, '-' and '_', beginning with a letter"


def described(call: Call) -> str:
    """A call as messages show it: `map(normalize)`, `stage('parse')`."""
    match call:
        case SourceCall() | SinkCall():
            role = "source" if isinstance(call, SourceCall) else "sink"
            return f"{role}({name_of(call) or _given(call.given)})"
        case StageCall():
            return f"stage({call.name!r})"
        case OperatorCall():
            return call.operator.name
        case KeyByCall():
            return f"key_by({call.key!r})" if isinstance(call.key, str) else f"key_by({fn_name(call.key)})"
        case BroadcastCall():
            return "broadcast()"
        case MergeCall():
            return "merge(...)"
        case ResultsCall():
            return "results()"


def _given(given: object) -> str:
    return fn_name(given) if callable(given) else shown(type(given))


def shape_mistakes(stages: Stages) -> Iterator[Mistake]:
    """All mistakes of this kind."""
    graph = stages.graph
    yield from _pipeline(graph)
    yield from _loose_ends(graph)
    yield from _merged_streams(graph)
    yield from _names(stages)
    for stage in stages.by_number.values():
        yield from _empty_stage(stages, stage)
        yield from _routing(stages, stage)
        yield from _fused(stages, stage)
        yield from _state_and_coroutines(stages, stage)


def _pipeline(graph: Graph) -> Iterator[Mistake]:
    if not is_name(graph.pipeline):
        yield mistake(graph.where, f"{graph.pipeline!r} is not a name for a pipeline", _NAME_REMEDY)
    elif len(graph.pipeline) > PIPELINE_CHARACTERS:
        yield _too_long(graph.where, "pipeline", graph.pipeline, PIPELINE_CHARACTERS)
    if not graph.calls:
        remedy = "add a .source(...) and end its stream with .sink(...)"
        yield mistake(graph.where, "the pipeline moves no rows", remedy)
    for where in graph.strangers:
        yield mistake(where, "a stream of another pipeline is merged", "build both streams from one Pipeline")


def _loose_ends(graph: Graph) -> Iterator[Mistake]:
    for number, consumers in graph.consumers().items():
        call = graph.calls[number]
        if not consumers and not isinstance(call, SinkCall | ResultsCall):
            yield mistake(
                call.where,
                f"the rows of {described(call)} go nowhere",
                "end the stream with .sink(...); to drop them on purpose, .sink(ps.discard())",
            )


def _merged_streams(graph: Graph) -> Iterator[Mistake]:
    for call in graph.calls.values():
        if not isinstance(call, OperatorCall | KeyByCall | BroadcastCall | SinkCall):
            continue
        if not isinstance(graph.calls[call.parent], MergeCall):
            continue
        if not isinstance(call, SinkCall):
            yield mistake(
                call.where,
                f"{described(call)} has no stage to run in: a merged stream has none",
                'open one: .merge(...).stage("name") and then the operator',
            )
        elif call.fused:
            yield mistake(call.where, "a merged stream has no stage to fuse the sink into", "leave out fused=True")


def _empty_stage(stages: Stages, stage: Stage) -> Iterator[Mistake]:
    is_used = bool(stages.graph.consumers()[stage.number])
    if isinstance(stage.opener, StageCall) and is_used and not stage.operators and not stage.fused_sinks:
        yield mistake(
            stage.where,
            f"stage {stage.name!r} has no operators",
            "write .map(...) or another operator after it, or leave the stage out: a sink is a stage of its own",
        )


def _routing(stages: Stages, stage: Stage) -> Iterator[Mistake]:
    graph = stages.graph
    for number in stage.routing:
        call = graph.calls[number]
        if isinstance(stage.opener, SourceCall):
            yield mistake(
                call.where,
                f"{described(call)} routes rows to a stage, and a source has no stage before it",
                f'open one: .stage("name"){_verb(call)}',
            )
        elif parents_of(call) != (stage.number,):
            yield mistake(
                call.where,
                f"{described(call)} does not come first in stage {stage.name!r}",
                f'write it right after the stage is opened: .stage("name"){_verb(call)}',
            )
        elif graph.consumers()[stage.number] != [number]:
            yield mistake(
                call.where,
                f"{described(call)} routes all rows of stage {stage.name!r}, but the stream before it is also used",
                f"use the stream that {_verb(call)[1:]} returns, or open a second stage",
            )


def _verb(call: Call) -> str:
    return ".broadcast()" if isinstance(call, BroadcastCall) else ".key_by(...)"


def _fused(stages: Stages, stage: Stage) -> Iterator[Mistake]:
    outputs = sum(stages.home.get(i) == stage.number for other in stages.by_number.values() for i in other.inputs)
    for number in stage.fused_sinks:
        call = stages.graph.calls[number]
        if not isinstance(call, SinkCall):
            continue
        if outputs + len(stage.fused_sinks) > 1:
            yield mistake(
                call.where,
                f"the sink is fused into stage {stage.name!r}, which has other outputs",
                "leave out fused=True: a stage with a sink in it has that one output",
            )
        given = [*call.options] + ["name"] * (call.name is not None) + ["edge"] * (call.edge is not DEFAULT_EDGE)
        if given:
            yield mistake(
                call.where,
                f"{', '.join(given)} without effect: a fused sink opens no stage",
                f"give it to stage {stage.name!r}, or leave out fused=True",
            )


def _state_and_coroutines(stages: Stages, stage: Stage) -> Iterator[Mistake]:
    """Rows of coroutines overlap: taking back what one wrote would take back what others built on it."""
    operators = [call for n in stage.operators if isinstance(call := stages.graph.calls[n], OperatorCall)]
    keeper = next((call for call in operators if call.operator.writes_state or _ends(call)), None)
    for call in operators:
        if keeper is not None and callable(call.operator.fn) and call.operator.is_async and call.operator.awaits:
            yield mistake(
                call.where,
                f"{described(call)} is a coroutine, whose rows overlap, in the stage of {described(keeper)}, which "
                f"{'keeps state' if keeper.operator.writes_state else 'has on_end'}",
                f'open a stage between the two: .stage("name"){_call_text(call)}',
            )


def _ends(call: OperatorCall) -> bool:
    return callable(call.operator.fn) and call.operator.gives_at_end


def _call_text(call: OperatorCall) -> str:
    return f".{call.operator.verb}(...)"


def _names(stages: Stages) -> Iterator[Mistake]:
    seen: dict[str, Stage] = {}
    for stage in stages.by_number.values():
        opener = stage.opener
        named = isinstance(opener, StageCall | ResultsCall) or opener.name is not None
        if not named and stage.name == "":
            continue  # nothing that can be read or written: told elsewhere
        if not is_name(stage.name):
            remedy = _NAME_REMEDY if named else f"give it one with name=: {_NAME_REMEDY}"
            yield mistake(stage.where, f"{stage.name!r} is not a name for a stage", remedy)
        elif len(stage.name) > STAGE_CHARACTERS:
            yield _too_long(stage.where, "stage", stage.name, STAGE_CHARACTERS)
        elif stage.name in seen:
            yield _clash(stage, seen[stage.name])
        else:
            seen[stage.name] = stage


def _too_long(where: Where, kind: str, name: str, most: int) -> Mistake:
    what = f"the name of the {kind} has {len(name)} characters, and files that are named by it leave room for {most}"
    return mistake(where, f"{what}: {name!r}", "give it a shorter one")


def _clash(stage: Stage, first: Stage) -> Mistake:
    results = isinstance(stage.opener, ResultsCall)
    where, other = (first.where, "results()") if results else (stage.where, f"line {first.where.line}")
    how = "another name" if isinstance(stage.opener, StageCall) else "another name with name="
    if results:
        return mistake(where, f"the name {RESULTS!r} belongs to {other}", "give the stage another name")
    return mistake(where, f"the name {stage.name!r} is taken by {other}", f"give one of the two {how}")
