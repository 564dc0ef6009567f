"""One swept run: forks the caller, follows its family, kills by order, and gives what was wrong.

A program of its own, for tracing is a matter of one thread: `python sweep_run.py FOLDER < orders`, one JSON object a
line, answers likewise. `test_sweep` samples with it, `bench/crash_sweep.py` goes through all.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sweep_family import Family, Orders
from sweep_pipeline import NAME, Copies

import penstock as ps
from penstock.engine import engine, rundir
from penstock.errors import PipelineFailed

_LIMIT_S = 60


@dataclass(frozen=True)
class Swept:
    """What became of a run."""

    wrong: Sequence[str]
    kills: Mapping[str, str]
    """Who was killed, and before which effect."""
    effects: Mapping[str, int]
    """How many effects each of those who were watched had."""
    stores: Mapping[str, int]
    """How many of them were stores."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Request:
    """A run to make."""

    copies: int
    database: bool = False
    first_lives: Mapping[str, int] = field(default_factory=dict)
    later_lives: Sequence[int] = ()
    supervisor: int = 0
    zygote: int = 0


def sweep(request: Request, base: Path) -> Swept:
    """Make the run, in a folder of its own below `base`."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=base) as folder:
        told = Path(folder, "told")
        wait, go = os.pipe()
        caller = os.fork()
        if caller == 0:
            os.close(go)
            os.read(wait, 1)  # until it is traced
            _call(request, Path(folder), told)
        os.close(wait)
        orders = Orders(request.first_lives, request.later_lives, request.supervisor, request.zygote)
        family = Family(caller, orders, Copies(base, request.copies).slots())
        with _time_limit(family) as over:
            family.follow(lambda: os.close(go))
        nothing = [f"it hangs, after {_LIMIT_S} s" if over else "the caller died"], None
        wrong, restarts = json.loads(told.read_text()) if told.exists() else nothing
        if over:
            shutil.rmtree(family.run_dir)  # a killed run leaves it for the next one, which never comes
    dead = {name: victim for name, victim in family.victims.items() if victim.killed_before}
    workers = [name for name in dead if name not in ("supervisor", "zygote")]
    if restarts is not None and "zygote" in dead:
        # A worker whose end the zygote did not live to tell of is followed by one that finds all done.
        wrong += [f"restarts: {restarts}"] if max(restarts.values()) > 1 else []
    elif restarts is not None and "supervisor" not in dead:
        by_name = {name: restarts[name] for name in workers if name in restarts}
        if sum(restarts.values()) != len(workers) or not all(by_name.values()):
            wrong.append(f"killed: {workers}; restarts: {restarts}")
    return Swept(
        wrong, {name: victim.killed_before for name, victim in dead.items()},
        {name: victim.effects for name, victim in family.victims.items()},
        {name: victim.stores for name, victim in family.victims.items()}, time.monotonic() - began,
    )


@contextmanager
def _time_limit(family: Family) -> Iterator[list[int]]:
    """End a run that hangs; what it gives is not empty, then."""
    over: list[int] = []

    def end(number: int, frame: object) -> None:
        over.append(number)
        family.kill()

    signal.signal(signal.SIGALRM, end)
    signal.alarm(_LIMIT_S)
    try:
        yield over
    finally:
        signal.alarm(0)


def _call(request: Request, folder: Path, told: Path) -> None:
    """In the child: never returns."""
    try:
        told.write_text(json.dumps(_run(request, folder)))
    except BaseException:
        told.write_text(json.dumps(([traceback.format_exc()], None)))
    finally:
        os._exit(0)


def _run(request: Request, folder: Path) -> tuple[list[str], dict[str, int] | None]:
    """What is wrong, and how many restarts were reported, by stage; None where nothing was."""
    os.chdir(folder)
    logging.getLogger("penstock.engine").setLevel(logging.ERROR)  # every death is told of otherwise
    state_dir = folder / "state"
    copies = Copies(folder, request.copies, request.database)
    plan = copies.plan()
    name = rundir.folder_name(NAME, str(folder))
    places = [parent / name for parent in rundir.parents(None, state_dir)]
    report = None
    while report is None:
        try:
            report = engine.start(plan, state_dir=state_dir).wait()
        except PipelineFailed as failed:
            if failed.stage != "supervisor":
                return [f"the run failed: {failed}"], None
            # Also behind its work, while it ends: the next run finds all done, and says so.
    found = copies.wrong_rows(list(ps.read_dead_letters(NAME, state_dir=state_dir)))
    found += [f"left behind: {place}" for place in places if place.exists()]
    found += copies.wrong_counts(report)
    return found, {name: stage.restarts for name, stage in report.stages.items()}


def main(base: Path) -> None:
    for line in sys.stdin:
        print(json.dumps(asdict(sweep(Request(**json.loads(line)), base))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
