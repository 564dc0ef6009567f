"""The files by which a run's processes know what they are: plan, supervisor's spec, layout, manifest.

Written at the start, and again at a take-over, because the code may have changed by then.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import msgspec
from msgspec.structs import replace

from penstock.engine import rundir
from penstock.engine.deployment import Order
from penstock.engine.run_spec import layout_of, run_spec
from penstock.engine.rundir import Manifest
from penstock.engine.shipping import modules_named, ship
from penstock.engine.worker_output import log_level
from penstock.metrics import layout
from penstock.plan.fingerprint import fingerprint
from penstock.plan.paths import RunPaths
from penstock.plan.plan import Plan
from penstock.plan.topology import Topology, has_coroutines
from penstock.private_files import replace_own
from penstock.run_files import write_checked
from penstock.supervisor.protocol import CheckpointSpec


def write_program(order: Order, topology: Topology, paths: RunPaths, run_id: str, dead_letters: Path) -> None:
    """The plan for the workers, and what the supervisor is told."""
    pickled = ship(_as_run(topology.plan), order.program)
    write_checked(paths.program, "the plan", pickled)
    spec = run_spec(
        topology, run_id=run_id, dead_letters=dead_letters, crashes=order.crashes,
        program=pickle.dumps(order.program), preload=_preload(topology.plan, pickled), log_level=log_level(),
        left_to=order.moves_to(paths.root), layout=fingerprint(topology.plan, order.program.arguments),
        checkpoint=_checkpoint_spec(order), positions=order.positions,
    )
    if order.checkpoint is not None and not paths.checkpoint_bell.exists():
        os.mkfifo(paths.checkpoint_bell, 0o600)
    write_checked(paths.spec, "the supervisor's instructions", msgspec.msgpack.encode(spec))


def _checkpoint_spec(order: Order) -> CheckpointSpec | None:
    wanted = order.checkpoint
    if wanted is None:
        return None
    return CheckpointSpec(str(wanted.store), wanted.every_s, wanted.keep, wanted.max_age_s)


def _as_run(plan: Plan) -> Plan:
    """Without the ways to print it, for which workers would import more."""
    return Plan(**{name: getattr(plan, name) for name in Plan.__struct_fields__})


def write_layout(topology: Topology, paths: RunPaths, started_s: float, resumed: str = "") -> None:
    """For whoever looks at the status. `resumed`: from where, in words."""
    told = replace(layout_of(topology, started_s), resumed=resumed)
    replace_own(paths.layout, layout.encode(told))


def write_manifest(paths: RunPaths, manifest: Manifest) -> None:
    """The last file of a start: a directory without it was never ready."""
    replace_own(paths.manifest, rundir.encode_manifest(manifest))


def _preload(plan: Plan, pickled: bytes) -> tuple[str, ...]:
    """What the zygote imports before it forks."""
    names = set(modules_named(pickled))
    for stage in plan.stages.values():
        for endpoint in (stage.source, stage.sink):
            names.update(endpoint.modules if endpoint is not None else ())
        for node in stage.nodes:
            names.update(node.operator.modules)
    if has_coroutines(tuple(plan.stages.values())):
        names.add("asyncio")
    return tuple(sorted(names))
