"""Ctrl-C at any moment ends the command with 130 and one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Presses Ctrl-C when the module named first is looked for, then runs the command line with the other arguments.
PRESSED_AT_IMPORT = """
import os, signal, sys
from penstock.__main__ import main

pressed_at, *sys.argv[1:] = sys.argv[1:]

class Finder:
    def find_spec(self, name, path, target=None):
        if name == pressed_at:
            os.kill(os.getpid(), signal.SIGINT)

assert not {"click", "penstock.cli"} & set(sys.modules)
sys.meta_path.insert(0, Finder())
main()
"""

PRESSED_IN_A_FINALIZER = """
import os, signal, time
import penstock as ps

class Pressed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)

Pressed()
for _ in range(6000):
    time.sleep(0.01)
app = ps.Pipeline("numbers")
app.source([1]).sink(ps.discard())
"""


def _called(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "moment", ["penstock.cli", "click", "penstock.cli.exit_codes", "penstock.cli.check", "penstock.plan.planner", "x"]
)
def test_while_penstock_or_the_program_is_imported(
    program: Callable[[str, str], Path], tmp_path: Path, moment: str
) -> None:
    program("x.py", "import penstock as ps\napp = ps.Pipeline('x')\napp.source([1]).sink(ps.discard())\n")
    done = _called("-c", PRESSED_AT_IMPORT, moment, "check", "x", folder=tmp_path)
    assert (done.returncode, done.stderr) == (130, "penstock: interrupted\n")


@pytest.mark.parametrize("command", ["check", "run"])
def test_where_python_cannot_raise_it(program: Callable[[str, str], Path], tmp_path: Path, command: str) -> None:
    program("x.py", PRESSED_IN_A_FINALIZER)
    done = _called("-m", "penstock", command, "x.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (130, "penstock: interrupted\n")
