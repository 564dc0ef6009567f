"""Checks of resolved options: each must have an effect where it is given, and neighbours must fit.

Pure. The worker counts are known here, so what depends on them is checked here and not in `graph`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock.errors import Mistake
from penstock.graph.findings import mistake
from penstock.graph.graph import BroadcastCall, KeyByCall, ResultsCall, SinkCall, SourceCall
from penstock.graph.stages import Stage, Stages
from penstock.operators.batch_operator import BatchOperator
from penstock.plan.membership import KEY_GROUPS
from penstock.plan.settings import Resolved
from penstock.sequences import CallableSource, SequenceSource
from penstock.sink import Sink
from penstock.source import Source

_OF_ROWS = ("on_error", "retries", "retry_delay", "retry_delay_max", "retry_on", "timeout")
_OF_RETRIES = ("retry_delay", "retry_delay_max", "retry_on")


def option_mistakes(stages: Stages, resolved: Mapping[int, Resolved]) -> Iterator[Mistake]:
    """All mistakes of this kind."""
    for number, stage in stages.by_number.items():
        options = resolved[number]
        match stage.opener:
            case ResultsCall():
                yield from _results(stage, options)
            case SourceCall(source=Source() as source):
                yield from _source(stages, stage, options, source)
            case SinkCall():
                yield from _sink(stage, options, stage.opener)
        yield from _concurrency(stages, stage, options)
        yield from _retries(stage, options)
        yield from _ordered(stages, stage, resolved)
        yield from _waits(stages, stage, options)
        yield from _keys(stages, stage, options)
        yield from _route(stages, stage, resolved)


def _no_effect(stage: Stage, option: str, reason: str, remedy: str = "leave it out") -> Mistake:
    return mistake(stage.where, f"{option} has no effect in stage {stage.name!r}: {reason}", remedy)


def _results(stage: Stage, options: Resolved) -> Iterator[Mistake]:
    for name in sorted(options.given):
        if not name.startswith("edge."):
            yield _no_effect(stage, name, "the calling process reads here")


def _source(stages: Stages, stage: Stage, options: Resolved, source: Source[object]) -> Iterator[Mistake]:
    one_split = type(source).splits is Source.splits
    if options.stage.workers > 1 and one_split and not isinstance(source, SequenceSource):
        yield _no_effect(
            stage,
            f"workers={options.stage.workers}",
            f"{source.label} cannot be split: one worker reads it",
            'put the work into a stage after it: .stage("name", workers=...)',
        )
    if "ordered" in options.in_code:
        yield _no_effect(stage, "ordered", "a source has no input whose order it could keep")
    if not stages.operators_in(stage) and source.parse is None and not stage.fused_sinks:
        for name in _OF_ROWS:
            if name == "on_error" and not isinstance(source, SequenceSource | CallableSource):
                continue  # its reader may come across what is no row
            if name in options.in_code:
                remedy = "give it to the stage that has the operators"
                yield _no_effect(stage, name, "no operator in it can fail", remedy)


def _sink(stage: Stage, options: Resolved, call: SinkCall) -> Iterator[Mistake]:
    if "ordered" in options.in_code:
        yield _no_effect(stage, "ordered", "nothing comes out of a sink")
    if isinstance(call.sink, Sink) and call.sink.shared_slot is not None and options.stage.workers > 1:
        yield _no_effect(
            stage, f"workers={options.stage.workers}", f"one worker writes all rows for {call.sink.shared_slot}"
        )


def _concurrency(stages: Stages, stage: Stage, options: Resolved) -> Iterator[Mistake]:
    operators = stages.operators_in(stage)
    if "concurrency" in options.given and not any(op.is_async for op in operators if callable(op.fn)):
        remedy = "make the function of a map `async def`, or use workers"
        yield _no_effect(stage, "concurrency", "it has no async function", remedy)


def _waits(stages: Stages, stage: Stage, options: Resolved) -> Iterator[Mistake]:
    if not options.stage.ordered or options.stage.workers == 1:
        return
    for operator in stages.operators_in(stage):
        if isinstance(operator, BatchOperator) and operator.wait is not None:
            yield _no_effect(stage, "wait", "it is ordered, so its workers take rows in turn and never together")


def _retries(stage: Stage, options: Resolved) -> Iterator[Mistake]:
    for name in _OF_RETRIES:
        if name in options.in_code and "retries" not in options.given:
            yield _no_effect(stage, name, "it makes no retries", "add retries=3, or leave it out")
    if options.stage.retry_delay_s > options.stage.retry_delay_max_s:
        what = f"retry_delay in stage {stage.name!r} is longer than retry_delay_max"
        yield mistake(stage.where, what, "raise retry_delay_max, or lower retry_delay")


def _ordered(stages: Stages, stage: Stage, resolved: Mapping[int, Resolved]) -> Iterator[Mistake]:
    if not resolved[stage.number].stage.ordered or not stage.inputs or isinstance(stage.opener, SinkCall):
        return
    senders = [stages.of(call) for call in stage.inputs]
    routing = stages.routing_of(stage)
    if len(senders) > 1:
        what = f"stage {stage.name!r} is ordered, but {len(senders)} streams are merged into it in no common order"
        yield mistake(stage.where, what, "leave out ordered=True")
    elif senders[0] is not None and _is_unordered(resolved[senders[0].number]):
        name, workers = senders[0].name, resolved[senders[0].number].stage.workers
        yield mistake(
            stage.where,
            f"stage {stage.name!r} is ordered, but its rows come from {workers} workers of {name!r} in no order",
            f"make {name!r} ordered, too, or give it one worker",
        )
    if routing is not None and resolved[stage.number].stage.workers > 1:
        verb = "broadcast" if isinstance(routing, BroadcastCall) else "key_by"
        what = f"stage {stage.name!r} is ordered, which deals rows to its workers in turn, but {verb} decides otherwise"
        yield mistake(routing.where, what, "leave out ordered=True: rows of one key keep their order anyway")


def _keys(stages: Stages, stage: Stage, options: Resolved) -> Iterator[Mistake]:
    routing, workers = stages.routing_of(stage), options.stage.workers
    if isinstance(routing, KeyByCall) and workers > KEY_GROUPS:
        what = f"stage {stage.name!r} has {workers} workers, but keys have {KEY_GROUPS} groups: some would get no rows"
        yield mistake(stage.where, what, f"give it {KEY_GROUPS} workers at most")


def _is_unordered(sender: Resolved) -> bool:
    return sender.stage.workers > 1 and not sender.stage.ordered


def _route(stages: Stages, stage: Stage, resolved: Mapping[int, Resolved]) -> Iterator[Mistake]:
    options = resolved[stage.number]
    route, workers = options.edge.route, options.stage.workers
    routing = stages.routing_of(stage)
    if route == "auto" or not stage.inputs:
        return
    if routing is not None:
        verb = "broadcast" if isinstance(routing, BroadcastCall) else "key_by"
        yield _no_effect(stage, f"route={route!r}", f"{verb} says where rows go")
    elif options.stage.ordered and workers > 1:
        yield _no_effect(stage, f"route={route!r}", "an ordered stage deals rows to its workers in turn")
    if route != "forward":
        return
    for call in stage.inputs:
        sender = stages.of(call)
        if sender is not None and resolved[sender.number].stage.workers != workers:
            others = resolved[sender.number].stage.workers
            what = f"route='forward' from {others} workers of {sender.name!r} to {workers} of {stage.name!r}"
            yield mistake(stage.where, what, "give both the same number of workers, or leave the route out")

