"""`testing.run`: a pipeline with scripted inputs and collected outputs, here or in real worker processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.errors import PenstockError
from penstock.names import did_you_mean
from penstock.pipeline import Pipeline, plan_of_connectors_unasked
from penstock.plan.plan import Plan
from penstock.testing.crash import Crash
from penstock.testing.memory_run import run_in_memory
from penstock.testing.outcome import Outcome
from penstock.testing.replacement import Input, with_inputs, with_list_sinks
from penstock.testing.with_processes import run_with_processes


def run(
    app: Pipeline, inputs: Mapping[str, Input], *, processes: bool = False, crashes: Sequence[Crash] = ()
) -> Outcome:
    """Run `app` to its end with its sources and sinks replaced, and return what it produced.

    `inputs` has the rows of every source by its name; every sink collects its rows. Without `processes` everything
    happens in this process, one batch after the other: breakpoints work, and the time that a retry or a `Pause` would
    take is skipped. With `processes` the engine runs it, and workers are killed as `crashes` says.

    Raises `PipelineInvalid`, `PipelineFailed`, and `PenstockError` for inputs or crashes that do not fit the pipeline.
    """
    plan = with_list_sinks(with_inputs(plan_of_connectors_unasked(app), inputs))
    _check_crashes(plan, crashes, processes)
    return run_with_processes(plan, crashes) if processes else run_in_memory(plan)


def _check_crashes(plan: Plan, crashes: Sequence[Crash], processes: bool) -> None:
    if crashes and not processes:
        raise PenstockError("crashes need workers that can die; write run(..., processes=True, crashes=...)")
    for crash in crashes:
        if crash.stage not in plan.stages:
            nearest = did_you_mean(crash.stage, plan.stages)
            raise PenstockError(f"crash({crash.stage!r}): no stage has this name; {nearest}")
