"""What `Pipeline.source` and `Stream.sink` make of what they are given; the checks explain what they cannot use."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Sequence
from typing import Any

from penstock.connectors import stdio
from penstock.operators.each import Each
from penstock.sequences import CallableSource, SequenceSource
from penstock.sink import Sink
from penstock.source import Source


def as_source(given: object) -> Source[Any] | None:
    """The source that is meant; None: nothing that can be read."""
    if isinstance(given, Source):
        return given
    if isinstance(given, Sink | str | bytes | bytearray | memoryview):
        return None
    if isinstance(given, Sequence):
        return SequenceSource(given)
    is_endpoint = inspect.isclass(given) and issubclass(given, Source | Sink)
    return CallableSource(given) if callable(given) and not is_endpoint else None


def as_sink(given: object, where: str, visible: str = "at once") -> Sink[Any] | Each | None:
    """The sink that is meant, or the operator that calls a function; None: nothing that can be written to.

    A sink that cannot wait for checkpoints is given as it is, and the checks say so.
    """
    if given is builtins.print:
        return stdio.stdout()
    if isinstance(given, Sink):
        return (given.at_checkpoint() or given) if visible == "at checkpoint" else given
    is_endpoint = inspect.isclass(given) and issubclass(given, Source | Sink)
    if isinstance(given, Source) or is_endpoint:
        return None
    return Each(given, where) if callable(given) else None
