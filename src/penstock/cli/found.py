"""Which of the found runs a NAME means; names that are not there are answered with those that are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock.engine.rundir import FoundRun
from penstock.errors import PenstockError
from penstock.names import did_you_mean


class RunNotFound(PenstockError):
    """No run has that name, or several could be meant."""


def runs_named(runs: Sequence[FoundRun], name: str | None) -> list[FoundRun]:
    """The runs of a name (of every name: None). Raises `RunNotFound` when a name has none."""
    chosen = [run for run in runs if name is None or run.name == name]
    if name is not None and not chosen:
        raise RunNotFound(f"there is no run of {name!r}; {_names(runs, name)}")
    return chosen


def _names(runs: Sequence[FoundRun], wrong: str) -> str:
    names = sorted({run.name for run in runs})
    return did_you_mean(wrong, names) if names else "nothing is running, and no run was left behind"


def one_left(runs: Sequence[FoundRun], cwd: Path) -> FoundRun:
    """The one left run to act on; of several, the one of the current directory. Raises `RunNotFound`."""
    here = [run for run in runs if Path(run.cwd) == cwd]
    if len(runs) == 1 or len(here) == 1:
        return runs[0] if len(runs) == 1 else here[0]
    names = sorted({run.name for run in runs})
    if len(names) > 1:
        raise RunNotFound(f"{len(runs)} runs were left behind: {', '.join(names)}; name one, or pass --all")
    places = ", ".join(run.cwd for run in runs)
    raise RunNotFound(
        f"runs of {names[0]!r} were left behind in several directories: {places}; change to one of them, or pass --all"
    )
