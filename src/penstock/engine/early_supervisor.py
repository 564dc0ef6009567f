"""A supervisor that is started before the plan is made: all of a run's processes wait for it and its zygote.

It is started for the place where the run will most likely be. Where the run turns out to be elsewhere, or to resume
from what another run left, it is killed, and another one is started; it holds nothing until a run is handed over.
Nothing is imported here that its start does not need.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from penstock.engine import rundir
from penstock.engine.supervisor_process import SupervisorProcess
from penstock.errors import PenstockError
from penstock.standard_streams import fill_gaps
from penstock.working_directory import working_directory


class EarlySupervisor:
    """As a context manager, it ends a supervisor that nobody has taken, whatever was raised in between."""

    def __init__(self, run_dir: Path | None = None) -> None:
        """`run_dir`: where the run will most likely be; None: nothing is started until that is known."""
        self.run_id = rundir.new_run_id()
        """Of the run, if it is a new one."""
        self._run_dir = run_dir
        self._process = None if run_dir is None else SupervisorProcess(run_dir, self.run_id)

    def take(self, run_dir: Path, run_id: str) -> SupervisorProcess:
        """The supervisor of this run: the one that was started, if it fits."""
        process, self._process = self._process, None
        if process is not None and (run_dir, run_id) == (self._run_dir, self.run_id):
            return process
        if process is not None:
            process.kill()
        return SupervisorProcess(run_dir, run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()


def started_early(pipeline: str, run_dir: Path | str | None, state_dir: Path | str | None) -> EarlySupervisor:
    """For a run of this pipeline. Where it cannot be said where that will be, nothing is started."""
    try:
        fill_gaps()
        place = rundir.parents(run_dir, state_dir)[0] / rundir.folder_name(pipeline, working_directory())
    except (PenstockError, OSError, ValueError, RuntimeError):  # `deploy` meets the same, and says so
        return EarlySupervisor()
    return EarlySupervisor(place)
