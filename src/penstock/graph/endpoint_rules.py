"""Checks of sources and sinks: what was given instead of one, what they say themselves, targets written twice."""

from __future__ import annotations

import array
import collections
import inspect
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath

from penstock.errors import ExtraMissing, Mistake
from penstock.graph.findings import mistake
from penstock.graph.graph import Graph, OperatorCall, SinkCall, SourceCall
from penstock.operators.each import Each
from penstock.sequences import CallableSource
from penstock.signatures.annotations import open_arguments, shown
from penstock.signatures.callables import fn_name, function_of
from penstock.sink import Sink
from penstock.source import Source

_FILLED_HERE = (
    list, set, dict, bytearray, collections.deque, collections.UserList, collections.UserDict, array.array, io.StringIO,
    io.BytesIO,
)


def endpoint_mistakes(graph: Graph) -> Iterator[Mistake]:
    """All mistakes of this kind that are seen without asking connectors, which may look at what is out there."""
    for call in graph.calls.values():
        if isinstance(call, SourceCall):
            yield from _source(call)
        elif isinstance(call, SinkCall):
            yield from _sink(call)
    yield from _targets(graph)


def connector_mistakes(graph: Graph) -> Iterator[Mistake]:
    """What connectors say of themselves."""
    for call in graph.calls.values():
        match call:
            case SourceCall(source=Source() as source):
                yield from _own_words(call, source.label, source.check_source)
            case SinkCall(sink=Sink() as sink):
                yield from _own_words(call, sink.sink_label, sink.check_sink)
            case OperatorCall(operator=operator):
                for asked in operator.asks:
                    yield from _own_words(call, f"{operator.verb}: {asked.label}", asked.check)
            case _:
                continue


def _source(call: SourceCall) -> Iterator[Mistake]:
    if call.source is None:
        yield mistake(call.where, *_no_source(call.given))
    elif isinstance(call.source, CallableSource):
        yield from _callable(call, call.source)
    elif call.source.parse is not None:
        for what, remedy in call.source.parse.mistakes(call.source.parse.name):
            yield mistake(call.where, what, remedy)


def _no_source(given: object) -> tuple[str, str]:
    """Why something cannot be read from, and what to pass instead."""
    kind = shown(type(given))
    if isinstance(given, Sink):
        return f"{given.label} is a sink: it can be written to, not read from", "end a stream with .sink(...) there"
    if inspect.isclass(given):
        return f"source was given the class {given.__name__}", f"pass an instance: {given.__name__}(...)"
    if isinstance(given, str | PurePath):
        text = str(given)
        return f"source was given the {kind} {text!r}", f"to read a file write files.lines({text!r})"
    if isinstance(given, bytes | bytearray | memoryview):
        return f"source was given {kind}", "pass a list of rows, or a connector"
    if inspect.isgenerator(given) or inspect.isasyncgen(given):
        remedy = "pass the function that makes it, without calling it"
        return "source was given a generator object, which cannot be sent to a worker or started again", remedy
    if isinstance(given, Mapping):
        return f"source was given a {kind}", "pass the rows as a list: list(x.items())"
    if isinstance(given, Iterable):
        remedy = "pass list(x), or a function that makes it"
        return f"source was given a {kind}, which has no order to resume from", remedy
    remedy = "pass a connector, a sequence of rows, or a function that returns an iterable"
    return f"source was given {'None' if given is None else 'a value of type ' + kind}", remedy


def _callable(call: SourceCall, source: CallableSource[object]) -> Iterator[Mistake]:
    function, name = function_of(source.fn), fn_name(source.fn)
    missing = open_arguments(source.fn, given=0)
    if missing:
        yield mistake(
            call.where,
            f"source({name}): it is called without arguments, but needs {', '.join(missing)}",
            f"bind them: functools.partial({name}, {missing[0]}=...)",
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield mistake(call.where, f"source({name}) is async", "pass a plain function or generator function")


def _sink(call: SinkCall) -> Iterator[Mistake]:
    yield from _visible(call)
    if call.sink is None:
        yield mistake(call.where, *_no_sink(call.given))
    elif isinstance(call.sink, Each):
        yield from _local(call, call.sink)
    else:
        yield from _fusible(call, call.sink)


def _visible(call: SinkCall) -> Iterator[Mistake]:
    """When rows become visible."""
    if call.visible not in ("at once", "at checkpoint"):
        what = f"visible={call.visible!r} is unknown"
        yield mistake(call.where, what, 'write visible="at once" or visible="at checkpoint"')
    elif call.visible == "at checkpoint" and call.sink is not None:
        if not isinstance(call.sink, Sink) or not call.sink.waits_for_checkpoint:
            name = call.sink.sink_label if isinstance(call.sink, Sink) else "a function"
            what = f'visible="at checkpoint": {name} cannot wait for a checkpoint'
            yield mistake(call.where, what, "leave it out, or write to a table or to a folder of files")
        elif call.fused:
            what = 'visible="at checkpoint" cannot be fused: rows wait in the stage of the sink'
            yield mistake(call.where, what, "leave out fused=True")


def _no_sink(given: object) -> tuple[str, str]:
    if isinstance(given, Source):
        return f"{given.label} is a source: it can be read from, not written to", "begin a stream with app.source(...)"
    if inspect.isclass(given):
        return f"sink was given the class {given.__name__}", f"pass an instance: {given.__name__}(...)"
    if given is None:
        return "sink was given None", "pass the function itself: .sink(f), not .sink(f())"
    return f"sink was given a value of type {shown(type(given))}", "pass a connector or a function of the row"


def _local(call: SinkCall, each: Each) -> Iterator[Mistake]:
    """A method that fills an object of this process: workers would fill copies of it, and nobody sees those."""
    method = function_of(each.fn)
    held = getattr(method, "__self__", None)
    own = inspect.isbuiltin(method) or getattr(method, "__module__", "") == "collections"
    if own and isinstance(held, _FILLED_HERE):
        kind = shown(type(held))
        yield mistake(
            call.where,
            f"sink was given {method.__name__} of a {kind}: each worker fills its own copy, and yours stays empty",
            "iterate over .results() instead, which returns the rows to this process",
        )


def _fusible(call: SinkCall, sink: Sink[object]) -> Iterator[Mistake]:
    if call.fused and sink.shared_slot is not None:
        what = f"{sink.sink_label} cannot be fused: all sinks on {sink.shared_slot} run in one worker of their own"
        yield mistake(call.where, what, "leave out fused=True")


def _own_words(
    call: SourceCall | SinkCall | OperatorCall, label: str, check: Callable[[], Sequence[str]]
) -> Iterator[Mistake]:
    try:
        problems = check()
    except ExtraMissing as error:
        problems = [str(error)]
    for problem in problems:
        what, _, remedy = problem.partition("; ")
        yield mistake(call.where, f"{label}: {what}", remedy or "correct it, or name another one")


def _targets(graph: Graph) -> Iterator[Mistake]:
    """Two sinks on one target would overwrite each other. A target that is but the label is no place (stdout)."""
    first: dict[str, SinkCall] = {}
    for call in graph.calls.values():
        if not isinstance(call, SinkCall) or not isinstance(call.sink, Sink):
            continue
        if call.sink.target == call.sink.sink_label:
            continue
        alone = call.sink.claims if call.sink.shared_slot is None else ()
        earlier = first.setdefault(alone[0] if alone else call.sink.target, call)  # one target under two spellings
        if earlier is not call:
            what = f"line {earlier.where.line} already writes to {call.sink.target}"
            yield mistake(call.where, what, "merge the two streams before one sink, or write elsewhere")
