"""Promises of the command line as a whole: laziness, help, wrong usage, the demo."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import Result

from penstock.build import is_compiled
from penstock.cli.demo import DemoMissing, find_examples
from penstock.cli.main import COMMANDS

Command = Callable[..., Result]


def test_every_command_is_listed_and_has_help(penstock_command: Command) -> None:
    listed = penstock_command("--help")
    assert listed.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in listed.stdout
        assert penstock_command(name, "--help").exit_code == 0


def test_the_version_says_whether_it_is_compiled(penstock_command: Command) -> None:
    said = penstock_command("--version").stdout.strip()
    assert said == f"penstock, version {version('penstock')}" + (", compiled" if is_compiled() else ", not compiled")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["stauts"], "no command 'stauts'; did you mean 'status'?"),
        (["zzz"], "no command 'zzz'; there are run, check"),
        (["run"], "Missing argument 'TARGET'"),
        (["run", "x.py", "--log-level", "loud"], "Invalid value for '--log-level'"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_right(
    penstock_command: Command, args: list[str], said: str
) -> None:
    result = penstock_command(*args)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_command_does_not_import_the_others() -> None:
    script = (
        "import sys\nfrom penstock.cli.main import cli\n"
        "cli(['check', '--help'], standalone_mode=False)\n"
        "print(sorted(m for m in sys.modules if m.startswith('penstock.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "'penstock.cli.check'" in done.stderr
    assert not [name for name in ("run", "status", "clean", "demo") if f"'penstock.cli.{name}'" in done.stderr]


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "penstock", "zzz"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: penstock" in done.stderr


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    script = "import os, sys; os.dup2(int(sys.argv[1]), 1); from penstock.cli.main import cli; cli(['status'])"
    write_end = _pipe_without_reader()
    done = subprocess.run(
        [sys.executable, "-c", script, str(write_end)], pass_fds=[write_end], stderr=subprocess.PIPE, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")


def _pipe_without_reader() -> int:
    read_end, write_end = os.pipe()
    os.close(read_end)
    return write_end


DEMO = """
    class Options:
        def __init__(self, data, rate, burst, seconds, chaos, postgres, lose_machine, keep):
            self.given = data, rate, burst, chaos, postgres, lose_machine, keep

    def main(options):
        print(*options.given)
        return 6
"""


def test_the_demo_is_called_with_its_flags_and_its_code_is_the_exit_code(
    penstock_command: Command, program: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "analytics"]:
        monkeypatch.delitem(sys.modules, name)
    program("examples/analytics/__init__.py", "")
    program("examples/analytics/demo.py", DEMO)
    monkeypatch.setattr("penstock.cli.demo.find_examples", lambda package: tmp_path / "examples")
    (tmp_path / "d").mkdir()
    flags = ["--data", "d", "--rate", "5/s", "--burst", "9/s", "--chaos", "2", "--keep", "k", "--lose-machine"]
    result = penstock_command("demo", *flags)
    assert (result.exit_code, result.stdout) == (6, "d 5/s 9/s 2.0 None True k\n"), result.stderr


@pytest.mark.parametrize("place", ["src/penstock/examples", "examples"])
def test_the_demo_is_found_in_the_package_or_beside_its_source_tree(
    program: Callable[[str, str], Path], tmp_path: Path, place: str
) -> None:
    program(f"{place}/analytics/demo.py", "")
    assert find_examples(tmp_path / "src" / "penstock") == tmp_path / place


def test_an_installation_without_the_demo_says_so(tmp_path: Path) -> None:
    with pytest.raises(DemoMissing, match="reinstall penstock"):
        find_examples(tmp_path / "src" / "penstock")


def test_a_demo_without_its_packages_says_which_extra_brings_them(
    penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = penstock_command("demo")
    assert result.exit_code == 2
    assert "duckdb is not installed; `pip install 'penstock[standard]'` installs it" in result.stderr


def test_the_summary_of_a_command_fits_its_line(penstock_command: Command) -> None:
    assert "..." not in penstock_command("--help").stdout.partition("Commands:")[2]
