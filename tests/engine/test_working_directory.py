"""A working directory that was deleted: said in a sentence, by whatever needs one, and by nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from engine_scripts import environment, write

GONE = "the working directory is gone"
SCRIPT = """
    import penstock as ps
    from penstock.connectors import files

    app = ps.Pipeline("homeless")
    app.source([1, 2, 3], name="numbers").sink(ps.discard())

    if __name__ == "__main__":
        import sys
        try:
            {call}
        except ps.PenstockError as error:
            print("told:", error)
"""


def _in_a_deleted_directory(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    gone = folder / "gone"
    gone.mkdir()
    code = f"import os, sys; os.rmdir({str(gone)!r}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *args], cwd=gone, env={**environment(folder), "PWD": str(gone)},
        capture_output=True, text=True, timeout=60, check=False,
    )


@pytest.mark.parametrize("call", [
    "app.run()", "app.run(run_dir='runs')", "app.run(state_dir='state')", "app.check()", "app.start()",
    "ps.Pipeline('other').source(files.lines('x.txt')).results()",
])
def test_what_needs_a_working_directory_says_that_it_is_gone(call: str, tmp_path: Path) -> None:
    script = write(tmp_path, "app.py", SCRIPT.format(call=call))
    done = _in_a_deleted_directory(tmp_path, str(script))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "" if call == "app.check()" else f"told: {GONE}" in done.stdout


@pytest.mark.parametrize("command", [
    ["run", "{script}"], ["check", "{script}"], ["plan", "{script}"], ["run", "app"], ["run", "app.py"],
    ["status", "homeless", "--run-dir", "runs"],
])
def test_commands_say_that_it_is_gone(command: list[str], tmp_path: Path) -> None:
    script = write(tmp_path, "app.py", SCRIPT.format(call="app.run()"))
    done = _in_a_deleted_directory(tmp_path, "-m", "penstock", *(word.format(script=script) for word in command))
    assert "Traceback" not in done.stderr
    assert done.returncode != 0
    assert GONE in done.stderr


@pytest.mark.parametrize("command", ["status", "clean"])
def test_a_look_at_all_runs_needs_none(command: str, tmp_path: Path) -> None:
    done = _in_a_deleted_directory(tmp_path, "-m", "penstock", command)
    assert "Traceback" not in done.stderr and GONE not in done.stderr
