"""Access that was withdrawn: the file is named, and once it is granted again the run resumes, exact."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from damage_kit import BOUND_S

import penstock

pytestmark = pytest.mark.timeout(300)
BOUND_BY_MODES = "-dac_override,-dac_read_search"
"""Without these capabilities root is bound by permission bits, as anybody is."""

PROGRAM = """
    import os
    import penstock as ps
    from penstock.connectors import files

    def work(n):
        if n % 10 == 3:
            raise ps.Reject("three")
        if n == 60 and not os.path.exists("repaired"):
            raise ValueError("not today")
        return n

    app = ps.Pipeline("kept-out")
    app.source(range(100), name="numbers", max_restarts="1/m").stage(
        "work", on_error=ps.fail() if os.path.exists("fails") else ps.dead_letter(), max_restarts="1/m"
    ).map(work).sink(files.json_lines("out/rows.jsonl"), name="out", max_restarts="1/m")
"""


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """The program, by somebody whom permission bits bind."""
    bound = ["setpriv", f"--inh-caps={BOUND_BY_MODES}", f"--bounding-set={BOUND_BY_MODES}"] if os.getuid() == 0 else []
    source = str(Path(penstock.__file__).parents[1])
    return subprocess.run(
        [*bound, sys.executable, "-m", "penstock", "run", "app.py", "--run-dir", "run", "--state-dir", "state"],
        cwd=folder, env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, timeout=BOUND_S * 2,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root is bound by no permission bits unless setpriv takes its capabilities away")
    (tmp_path / "app.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "out").mkdir()
    return tmp_path


def test_places_that_may_not_be_written_are_named(place: Path) -> None:
    (place / "repaired").touch()
    for name, code in (("run", 3), ("out", 2), ("state", 1)):
        (place / name).mkdir(exist_ok=True)
        (place / name).chmod(0o500)
        done = run(place)
        (place / name).chmod(0o700)
        assert done.returncode == code, done.stderr
        assert str(place / name) in done.stderr or f"{name}/rows.jsonl" in done.stderr, done.stderr
        assert "permission" in done.stderr.lower()
        assert "bug in penstock" not in done.stderr
    done = run(place)
    assert done.returncode == 0, done.stderr
    assert sorted(map(int, (place / "out/rows.jsonl").read_text().split())) == [n for n in range(100) if n % 10 != 3]


@pytest.mark.parametrize("name", ["", "manifest.json", "queues/numbers->work.0-0", "slots/work.0/journal", "splits"])
def test_files_that_a_killed_run_left_and_that_may_not_be_read_are_named(name: str, place: Path) -> None:
    (place / "fails").touch()
    assert run(place).returncode == 1
    (place / "fails").unlink()
    (place / "repaired").touch()
    [left] = (place / "run").iterdir()
    path = left / name
    mode = path.stat().st_mode
    path.chmod(0)
    done = run(place)
    path.chmod(mode)
    assert done.returncode == 3, done.stderr
    assert str(path) in done.stderr, done.stderr
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
    done = run(place)
    assert done.returncode == 0, done.stderr
    assert sorted(map(int, (place / "out/rows.jsonl").read_text().split())) == [n for n in range(100) if n % 10 != 3]
