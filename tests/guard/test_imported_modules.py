"""How many modules each process of a run imports: start-up is made of imports, and they creep in one by one.

The limits are a little above what there is. A test that fails here says which module is new: import it where it is
used, if that is seldom, or raise the limit for what every run needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

BENCH = Path(__file__).parents[2] / "bench"
PROGRAM = """\
import sys


def numbers():
    yield from range(10)


def double(number: int) -> int:
    return number * 2


def keep(number: int) -> None:
    pass


if __name__ == "__main__":
    notes, bench = sys.argv[1:]
    sys.path.insert(0, bench)
    import audit_hook

    sys.path.pop(0)
    audit_hook.install(notes, "caller")
    import penstock as ps

    pipeline = ps.Pipeline("imports")
    stream = pipeline.source(numbers)
    for name in ("a", "b", "c"):
        stream = stream.stage(name).map(double)
    stream.sink(keep, name="end")
    pipeline.run(progress=False)
"""


class Imports(NamedTuple):
    """What one process imports, in order."""

    role: str
    before_next: list[str]
    """Before it starts the next process, which all workers wait for; empty where it starts none."""
    all: list[str]


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[Imports]:
    """Caller, supervisor, zygote and workers of one run of five stages."""
    folder = tmp_path_factory.mktemp("imports")
    program, notes = folder / "program.py", folder / "notes"
    program.write_text(PROGRAM)
    subprocess.run([sys.executable, str(program), str(notes), str(BENCH)], check=True, timeout=100)
    found: dict[str, Imports] = {}
    for line in notes.read_text().splitlines():
        _, pid, _, kind, what = line.split("\t")
        if kind == "begins":
            found[pid] = Imports(what, [], [])
        elif kind == "forked":
            found[pid] = Imports("zygote" if found[what].role == "main" else "worker", [], [])
        elif kind == "import" and what not in found[pid].all:
            found[pid].all.append(what)
        elif kind in ("exec", "fork") and not found[pid].before_next:
            found[pid].before_next.extend(found[pid].all)
    return list(found.values())


def test_a_worker_imports_nothing(processes: list[Imports]) -> None:
    """The zygote has imported it all, once for all of them."""
    assert [process.all for process in processes if process.role == "worker"] == [[]] * 5


@pytest.mark.parametrize(
    ("role", "before_next", "limit"), [("caller", 230, 320), ("main", 135, 180), ("zygote", 175, 175)]
)
def test_a_process_imports_no_more_than_it_did(
    processes: list[Imports], role: str, before_next: int, limit: int
) -> None:
    [process] = [process for process in processes if process.role == role]
    assert len(process.before_next) <= before_next, process.before_next
    assert len(process.all) <= limit, process.all


def test_before_the_zygote_is_forked_only_what_it_needs_too_is_imported(processes: list[Imports]) -> None:
    """Whatever else a supervisor needs, it imports while the zygote imports."""
    [supervisor] = [process for process in processes if process.role == "main"]
    later = {"penstock.supervisor.supervisor", "penstock.supervisor.lives", "penstock.supervisor.final_totals"}
    assert later.isdisjoint(supervisor.before_next)
    assert later <= set(supervisor.all)


def test_supervisor_and_zygote_do_not_import_the_same_module_twice(processes: list[Imports]) -> None:
    """What both need comes before the fork (`supervisor/main.py`)."""
    [supervisor] = [process for process in processes if process.role == "main"]
    [zygote] = [process for process in processes if process.role == "zygote"]
    assert (set(supervisor.all) - set(supervisor.before_next)) & set(zygote.all) == set()


def test_what_plans_and_makes_files_is_imported_while_the_supervisor_starts(processes: list[Imports]) -> None:
    [caller] = [process for process in processes if process.role == "caller"]
    later = {
        "penstock.plan.planner", "penstock.engine.deploy", "penstock.engine.make_run", "penstock.engine.handle",
        "penstock.engine.shipping",
    }
    assert later.isdisjoint(caller.before_next)
    assert later <= set(caller.all)


def test_what_few_runs_need_is_not_imported(processes: list[Imports]) -> None:
    """Archive formats, and what msgspec prefers to `typing` where it is there."""
    [caller] = [process for process in processes if process.role == "caller"]
    assert not {"penstock.supervisor.leftover", "penstock.supervisor.stragglers"} & set(caller.all)
