"""How many modules each process of a run imports: start-up is made of imports, and they creep in one by one.

The limits are a little above what there is. A test that fails here says which module is new: import it where it is
used, if that is seldom, or raise the limit for what every run needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """By the role of a process: the modules that each such process imports, in order."""
    folder = tmp_path_factory.mktemp("imports")
    program, notes = folder / "program.py", folder / "notes"
    program.write_text(PROGRAM)
    subprocess.run([sys.executable, str(program), str(notes), str(BENCH)], check=True, timeout=100)
    roles, modules = {}, dict[str, list[str]]()
    for line in notes.read_text().splitlines():
        _, pid, _, kind, what = line.split("\t")
        if kind == "begins":
            roles[pid] = what
        of_pid = modules.setdefault(pid, [])
        if kind == "import" and what not in of_pid:
            of_pid.append(what)
    found: dict[str, list[list[str]]] = {}
    for pid, names in modules.items():
        found.setdefault(roles.get(pid, "worker"), []).append(names)
    return found


def test_a_worker_imports_nothing(imported: dict[str, list[list[str]]]) -> None:
    """The zygote has imported it all, once for all of them."""
    assert imported["worker"] == [[]] * 5
