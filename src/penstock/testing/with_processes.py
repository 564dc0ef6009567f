"""A test's pipeline in the engine: real worker processes, a run directory and a dead-letter store for this run only."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from penstock.dead_letters import read_dead_letters
from penstock.engine import engine
from penstock.errors import PenstockError
from penstock.plan.plan import Plan
from penstock.program import being_imported
from penstock.slot.records import life
from penstock.testing.crash import Crash
from penstock.testing.outcome import Outcome
from penstock.testing.replacement import list_sinks


def run_with_processes(plan: Plan, crashes: Sequence[Crash]) -> Outcome:
    """Run a plan whose sinks are lists; nothing of it is left but the outcome."""
    if being_imported():
        raise PenstockError(
            "testing.run(processes=True) is called while the file is imported, as every worker imports it; "
            'guard it: put it into a test function, or write `if __name__ == "__main__":` above it'
        )
    by_stage: dict[str, tuple[life.Crash, ...]] = {}
    for crash in crashes:
        by_stage[crash.stage] = (*by_stage.get(crash.stage, ()), life.Crash(crash.point, crash.row))
    with tempfile.TemporaryDirectory(prefix="penstock-test-") as folder:
        state_dir = Path(folder) / "state"
        handle = engine.start(plan, fresh=True, run_dir=Path(folder) / "run", state_dir=state_dir, crashes=by_stage)
        with handle:
            report = handle.wait()
        return Outcome(
            {name: sink.rows for name, sink in list_sinks(plan).items()},
            tuple(read_dead_letters(plan.pipeline, state_dir=state_dir)),
            report,
        )
