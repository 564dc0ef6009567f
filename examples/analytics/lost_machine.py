"""Loses a machine: kills all processes of a run, deletes the memory that they shared, and runs the same program again.

What is left is what a disk keeps: checkpoints, dead letters, databases. `python -m analytics.lost_machine FOLDER DATA
DSN [STAGE.OPTION=VALUE]...` is the program. It prints where its run directory is, and then its status until it is
through.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

import penstock as ps
from analytics.windows import SOURCES, Into, build

_PACE = 1000.0
"""Events per second and feed until the loss, so that there is a middle to be lost in."""
_EVERY = "500ms"
_LOST_AFTER_S = 0.25
"""Since the newest checkpoint: no other one is on its way then."""
_LOOK = "100ms"
OTHER_MACHINE = ("sessions.workers=3", "sensor-hours.workers=1", "bars.workers=3")
"""Settings of the run that resumes: the new machine may be larger or smaller."""
Looks: TypeAlias = Iterator[Mapping[str, Any]]
"""One status after the other, as JSON has it."""


@dataclass(frozen=True)
class Loss:
    """What was lost, and what that cost."""

    processes: int
    memory_bytes: int
    events: int
    """That had been read."""
    checkpoint: str
    """That the next run resumed from, as it says itself: one may have become durable in the last moment."""
    kept: int
    """Events that the checkpoint knew of: the others were read once more."""


def lose(data: Path, folder: Path, dsn: str | None) -> Loss:
    """Runs `windows` into `folder`, with the loss in the middle. Raises `RuntimeError` where the program fails."""
    command = [sys.executable, "-m", "analytics.lost_machine", str(folder), str(data), dsn or ""]
    with _running(command, folder) as (program, run_dir, looks):
        last = _middle(looks)
        killed = _kill([program.pid, *_below(program.pid)])
        memory_bytes = sum(file.stat().st_blocks * 512 for file in run_dir.rglob("*") if file.is_file())
        shutil.rmtree(run_dir)
    with _running([*command, *OTHER_MACHINE], folder) as (program, _, looks):
        kept = _events(next(looks))
        for _ in looks:  # to the end, or the pipe would be full
            pass
        if program.wait() != 0:
            raise RuntimeError(f"the run that resumed failed: {(folder / 'log').read_text()}")
    said = re.search(r"from checkpoint (\S+)", (folder / "log").read_text())
    if said is None:
        raise RuntimeError(f"the run did not resume from a checkpoint: {(folder / 'log').read_text()}")
    return Loss(killed, memory_bytes, _events(last), said[1], kept)


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path, Looks]]:
    """The program, its run directory, and what it says."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (folder / "log").open("w") as log, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    ) as program:
        assert program.stdout is not None
        run_dir = program.stdout.readline().strip()
        if not run_dir:
            raise RuntimeError(f"the run did not start: {(folder / 'log').read_text()}")
        try:
            yield program, Path(run_dir), map(msgspec.json.decode, program.stdout)
        finally:
            program.kill()  # where it is over already, this does nothing


def _middle(looks: Looks) -> Mapping[str, Any]:
    """The status when all sources have begun, and more was read since the newest checkpoint."""
    newest, known = "", 0
    for look in looks:
        taken = look["checkpoints"] or {"newest": "", "age_s": 0.0}
        if taken["newest"] != newest:
            newest, known = taken["newest"], _events(look)
        begun = all(look["stages"][source]["rows_in"] for source in SOURCES if source in look["stages"])
        if begun and newest and taken["age_s"] > _LOST_AFTER_S and _events(look) > known:
            return look
    raise RuntimeError("the run was through before there was a checkpoint; give it more data")


def _events(look: Mapping[str, Any]) -> int:
    """How many the sources had read."""
    return sum(stage["rows_in"] for name, stage in look["stages"].items() if name in SOURCES)


def _below(pid: int) -> Iterator[int]:
    """All processes that a process has started, and those that they have."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                # The name, in brackets, may hold anything; behind it are the state and the parent.
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    yield int(entry.name)
                    yield from _below(int(entry.name))


def _kill(pids: list[int]) -> int:
    """How many there were."""
    killed = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return killed


def main(folder: Path, data: Path, dsn: str, settings: Sequence[str]) -> None:
    """Runs with checkpoints; resumes from the newest one if there is any."""
    app = build(data, Into(folder / "windows.duckdb", dsn or None, "at checkpoint"), _PACE)
    checkpoints = ps.checkpoint(folder / "checkpoints", every=_EVERY)
    stages = app.plan().stages  # those of feeds that are there
    named = {name: value for name, _, value in (setting.partition("=") for setting in settings)
             if name.partition(".")[0] in stages}
    with app.start(state_dir=folder / "state", checkpoint=checkpoints, settings=named) as handle:
        print(handle.run_dir, flush=True)
        while True:
            print(handle.status().to_json(), flush=True)
            with suppress(TimeoutError):
                handle.wait(timeout=_LOOK)
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
