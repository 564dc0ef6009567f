"""For tests of mistakes: the line is found by its comment `# MISTAKE`, so that no test counts lines."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import penstock as ps


def lines_marked(function: Callable[..., Any]) -> list[int]:
    """Lines of a function that bear the comment."""
    text, first = inspect.getsourcelines(function)
    return [first + n for n, line in enumerate(text) if line.rstrip().endswith("# MISTAKE")]


def mistakes_of(app: ps.Pipeline, settings: Mapping[str, object] | None = None) -> list[ps.Mistake]:
    """What `check` says; with settings, what `plan` raises."""
    if settings is None:
        return list(app.check())
    with pytest.raises(ps.PipelineInvalid) as caught:
        app.plan(settings=settings)
    return list(caught.value.mistakes)


def only_mistake(
    app: ps.Pipeline, what: str, remedy: str = "", *, settings: Mapping[str, object] | None = None
) -> None:
    """The one mistake says this, and stands at the marked line of the calling test."""
    frame = sys._getframe(1)
    test = frame.f_globals[frame.f_code.co_name]
    found = mistakes_of(app, settings)
    assert [(m.line, m.file.rpartition("/")[2]) for m in found] == [
        (line, frame.f_code.co_filename.rpartition("/")[2]) for line in lines_marked(test)
    ], found
    assert what in found[0].what
    assert remedy in found[0].remedy
    assert found[0].remedy
