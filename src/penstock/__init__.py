"""penstock: data pipelines whose workers may die at any moment. The public names; nothing is defined here.

A name is imported when it is first asked for: supervisor and zygote start once for each run, and need few of them.
For the same reason nothing is imported here that is not built in: a supervisor starts its zygote before all else.
"""

from __future__ import annotations

from penstock.linux import require_linux, require_ordered_stores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from penstock.checkpoint_options import CheckpointOptions, checkpoint
    from penstock.dead_letters import DeadLetter, read_dead_letters
    from penstock.engine.handle import Handle
    from penstock.engine.results import Results
    from penstock.errors import (
        AlreadyRunning,
        CheckpointDamaged,
        CheckpointForeign,
        CommandRefused,
        ExtraMissing,
        FileUnusable,
        LayoutChanged,
        Mistake,
        NoRunDirectory,
        NoSuchCheckpoint,
        NotPrivate,
        OutputExists,
        PathNotUtf8,
        PenstockError,
        PipelineFailed,
        PipelineInvalid,
        QueueDamaged,
        RowTimeout,
        SourceDamaged,
        StoreTaken,
        StoreUnavailable,
        TargetDamaged,
        TargetInUse,
        TooFewDescriptors,
    )
    from penstock.lookup_table import LookupTable, TableReader
    from penstock.operator import Context, Drop, Reject, Retry, Unavailable
    from penstock.operators.key_state import KeyState, ListState, MapState, ValueState
    from penstock.operators.windowed.changes import Change
    from penstock.operators.windowed.window_rows import Ranked, WindowResult
    from penstock.options import (
        Edge,
        ErrorPolicy,
        FullPolicy,
        StageOptions,
        StateBackend,
        block,
        dead_letter,
        fail,
        rocksdict,
        skip,
    )
    from penstock.pipeline import ChangingWindows, KeyedStream, Pipeline, Row, Stream, WindowedStream
    from penstock.plan.plan import Plan
    from penstock.report import Report, StageReport
    from penstock.sink import Sink, discard
    from penstock.source import Source
    from penstock.status import EdgeStatus, EventTimeStatus, StageStatus, Status
    from penstock.windows.aggregates import (
        arg_max,
        arg_min,
        collect,
        count,
        count_distinct,
        first,
        last,
        mean,
        quantile,
        stddev,
        top_k,
        variance,
    )

    # Not in `__all__`: `from penstock import *` must not hide the builtins.
    from penstock.windows.aggregates import max as max
    from penstock.windows.aggregates import min as min
    from penstock.windows.aggregates import sum as sum
    from penstock.windows.aggregations.aggregation import Aggregation
    from penstock.windows.aggregations.own import Accumulator
    from penstock.windows.window import Window, count_window, processing_time, session, sliding, tumbling

__all__ = [
    "Accumulator", "Aggregation", "AlreadyRunning", "Change", "ChangingWindows", "CheckpointDamaged",
    "CheckpointForeign", "CheckpointOptions", "CommandRefused", "Context", "DeadLetter", "Drop", "Edge", "EdgeStatus",
    "ErrorPolicy", "EventTimeStatus", "ExtraMissing", "FileUnusable", "FullPolicy", "Handle", "KeyState",
    "KeyedStream", "LayoutChanged", "ListState", "LookupTable", "MapState", "Mistake", "NoRunDirectory",
    "NoSuchCheckpoint", "NotPrivate", "OutputExists", "PathNotUtf8", "PenstockError", "Pipeline", "PipelineFailed",
    "PipelineInvalid", "Plan", "QueueDamaged", "Ranked", "Reject", "Report", "Results", "Retry", "Row",
    "RowTimeout", "Sink", "Source", "SourceDamaged", "StageOptions", "StageReport", "StageStatus", "StateBackend",
    "Status", "StoreTaken", "StoreUnavailable", "Stream", "TableReader", "TargetDamaged", "TargetInUse",
    "TooFewDescriptors", "Unavailable", "ValueState", "Window", "WindowResult", "WindowedStream", "arg_max",
    "arg_min", "block", "checkpoint", "collect", "count", "count_distinct", "count_window", "dead_letter",
    "discard", "fail", "first", "last", "mean", "processing_time", "quantile", "read_dead_letters", "rocksdict",
    "session", "skip", "sliding", "stddev", "top_k", "tumbling", "variance",
]  # fmt: skip

_NAMES = {
    "checkpoint_options": "CheckpointOptions checkpoint",
    "dead_letters": "DeadLetter read_dead_letters",
    "engine.handle": "Handle",
    "engine.results": "Results",
    "lookup_table": "LookupTable TableReader",
    "errors": "AlreadyRunning CheckpointDamaged CheckpointForeign CommandRefused ExtraMissing FileUnusable "
              "LayoutChanged Mistake NoRunDirectory NoSuchCheckpoint NotPrivate OutputExists PathNotUtf8 PenstockError "
              "PipelineFailed PipelineInvalid QueueDamaged RowTimeout SourceDamaged StoreTaken StoreUnavailable "
              "TargetDamaged TargetInUse TooFewDescriptors",
    "operators.key_state": "KeyState ListState MapState ValueState",
    "operator": "Context Drop Reject Retry Unavailable",
    "options": "Edge ErrorPolicy FullPolicy StageOptions StateBackend block dead_letter fail rocksdict skip",
    "operators.windowed.changes": "Change",
    "operators.windowed.window_rows": "Ranked WindowResult",
    "pipeline": "ChangingWindows KeyedStream Pipeline Row Stream WindowedStream",
    "plan.plan": "Plan",
    "report": "Report StageReport",
    "sink": "Sink discard",
    "source": "Source",
    "status": "EdgeStatus EventTimeStatus StageStatus Status",
    "windows.aggregates": "arg_max arg_min collect count count_distinct first last max mean min quantile stddev sum "
                          "top_k variance",
    "windows.aggregations.aggregation": "Aggregation",
    "windows.aggregations.own": "Accumulator",
    "windows.window": "Window count_window processing_time session sliding tumbling",
}  # fmt: skip
"""By module, as above."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """A public name that nobody has asked for yet."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(f"penstock.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


require_linux()
require_ordered_stores()
