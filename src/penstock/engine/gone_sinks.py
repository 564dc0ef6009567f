"""Where a run resumes with fewer workers: the sinks of slots that are gone are brought to their end here.

What they wrote behind their positions is cut away, and what waits is written: their files stay as finished parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.checkpoints.earlier_run import EarlierRun
from penstock.ctrl_c import is_ctrl_c
from penstock.errors import PenstockError
from penstock.operator import Context
from penstock.plan.plan import Plan, StagePlan
from penstock.slot.process.user_errors import one_line


def finish_gone_sinks(
    plan: Plan, rescaled: Mapping[str, tuple[int, int]], earlier: EarlierRun
) -> dict[str, dict[int, Any]]:
    """The position of each, by stage and slot. Harmless where it was done before. Raises `PenstockError`."""
    return {
        name: {slot: _finish(plan, plan.stages[name], slot, before, earlier) for slot in range(now, before)}
        for name, (before, now) in rescaled.items() if plan.stages[name].sink is not None
    }


def _finish(plan: Plan, stage: StagePlan, slot: int, workers: int, earlier: EarlierRun) -> Any:
    record = earlier.stage(stage.name, slot)
    position = record.sink_position
    assert stage.sink is not None
    if stage.sink.waits_for_checkpoint:  # all that it spooled is visible, or the resume is refused
        return 0 if record.epoch is None else record.epoch.applied
    context = Context(
        pipeline=plan.pipeline, stage=stage.name, slot=slot, workers=workers, attempt=0,
        run_id=earlier.manifest.cut.run_id,
    )
    try:
        writer = stage.sink.writer(position, context)
        try:
            writer.finish()
            return writer.position()
        finally:
            writer.close()
    except BaseException as exc:  # the sink's code, be it an exit or a panic
        if is_ctrl_c(exc):
            raise
        what = f"stage {stage.name!r} has fewer workers now, and what slot {slot} wrote to {stage.sink.target}"
        raise PenstockError(f"{what} could not be finished: {one_line(exc)}") from exc
