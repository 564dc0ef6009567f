"""penstock: data pipelines whose workers may die at any moment. The public names; nothing is defined here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from penstock.dead_letters import DeadLetter, read_dead_letters
from penstock.errors import (
    AlreadyRunning,
    CommandRefused,
    ExtraMissing,
    FileUnusable,
    LayoutChanged,
    Mistake,
    NoRunDirectory,
    NotPrivate,
    OutputExists,
    PenstockError,
    PipelineFailed,
    PipelineInvalid,
    QueueDamaged,
    RowTimeout,
    SourceDamaged,
    TargetDamaged,
    TargetInUse,
    TooFewDescriptors,
)
from penstock.linux import require_linux, require_ordered_stores
from penstock.operator import Context, Drop, Reject, Retry, Unavailable
from penstock.options import Edge, ErrorPolicy, FullPolicy, StageOptions, block, dead_letter, fail, skip
from penstock.pipeline import KeyedStream, Pipeline, Row, Stream
from penstock.plan.plan import Plan
from penstock.report import Report, StageReport
from penstock.sink import Sink, discard
from penstock.source import Source
from penstock.status import EdgeStatus, StageStatus, Status

if TYPE_CHECKING:
    from penstock.engine.handle import Handle
    from penstock.engine.results import Results

__all__ = [
    "AlreadyRunning", "CommandRefused", "Context", "DeadLetter", "Drop", "Edge", "EdgeStatus", "ErrorPolicy",
    "ExtraMissing", "FileUnusable", "FullPolicy", "Handle", "KeyedStream", "LayoutChanged", "Mistake",
    "NoRunDirectory", "NotPrivate", "OutputExists", "PenstockError", "Pipeline", "PipelineFailed", "PipelineInvalid",
    "Plan", "QueueDamaged", "Reject", "Report", "Results", "Retry", "Row", "RowTimeout", "Sink", "Source",
    "SourceDamaged", "StageOptions", "StageReport", "StageStatus", "Status", "Stream", "TargetDamaged", "TargetInUse",
    "TooFewDescriptors", "Unavailable", "block",
    "dead_letter", "discard", "fail", "read_dead_letters", "skip",
]  # fmt: skip

_OF_THE_ENGINE = {"Handle": "penstock.engine.handle", "Results": "penstock.engine.results"}


def __getattr__(name: str) -> object:
    """Asked for names that are not there yet: the engine's are imported with it, since building needs no engine."""
    if name not in _OF_THE_ENGINE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_OF_THE_ENGINE[name]), name)


require_linux()
require_ordered_stores()
