"""What an earlier run left is taken over only where it can be trusted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import penstock as ps
from penstock.engine import rundir
from penstock.plan.paths import RunPaths


def fails(n: int) -> int:
    raise ValueError("not today")


def fixed(n: int) -> int:
    return n


def pipeline(fn: object) -> ps.Stream[int]:
    return ps.Pipeline("rebooted").source(range(10), name="numbers").stage("work", on_error=ps.fail()).map(fn)  # type: ignore[call-overload, no-any-return]


def left() -> Path:
    with pytest.raises(ps.PipelineFailed):
        list(pipeline(fails).results(fresh=True))
    [found] = [run for run in rundir.find_runs() if run.name == "rebooted"]
    return found.path


def test_queues_written_before_the_machine_was_restarted_are_not_resumed() -> None:
    manifest = RunPaths(left()).manifest
    before = msgspec.json.decode(manifest.read_bytes(), type=rundir.Manifest)
    manifest.write_bytes(rundir.encode_manifest(msgspec.structs.replace(before, boot_id="another")))
    manifest.with_name("settled").unlink(missing_ok=True)  # it says that what was left has reached the disk
    with pytest.raises(ps.QueueDamaged, match=r"restarted .*fresh=True"):
        list(pipeline(fixed).results())
    assert list(pipeline(fixed).results(fresh=True)) == list(range(10))
