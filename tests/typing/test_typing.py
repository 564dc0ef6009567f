"""The package under mypy: programs as users write them are inferred as their comments say, wrong lines are refused."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import penstock as ps

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
PACKAGE = Path(ps.__file__).parents[1]
WRONG = PROGRAMS / "wrong.py"
GOOD = sorted(path.name for path in PROGRAMS.glob("*.py") if path != WRONG)

_LINE = re.compile(r"(?:.*/)?(\w+\.py):(\d+): (error|note): (.*)")
_REVEALED = re.compile(r'Revealed type is "(.*)"')
_WRONG = re.compile(r"(.*?)  # ([a-z, ]+): .*")

Said = dict[tuple[str, int], list[tuple[str, str]]]


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What mypy says of each line of the programs."""
    command = [
        sys.executable, "-m", "mypy", "--config-file", str(HERE / "mypy.ini"), "--no-error-summary",
        "--cache-dir", str(tmp_path_factory.mktemp("mypy")), *GOOD, WRONG.name,
    ]  # fmt: skip
    environment = {"MYPYPATH": str(PACKAGE), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=PROGRAMS, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Said = {}
    for line in done.stdout.splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        found.setdefault((match[1], int(match[2])), []).append((match[3], match[4]))
    return found


@pytest.mark.parametrize("program", GOOD)
def test_a_program_as_users_write_it_is_accepted(program: str, said: Said) -> None:
    errors = [(line, text) for (name, line), all_ in said.items() if name == program
              for kind, text in all_ if kind == "error"]  # fmt: skip
    assert errors == []


@pytest.mark.parametrize("program", GOOD)
def test_the_types_of_streams_are_as_the_comments_say(program: str, said: Said) -> None:
    lines = (PROGRAMS / program).read_text().splitlines()
    expected = {n: line.rpartition("  # ")[2] for n, line in enumerate(lines, 1) if "reveal_type(" in line}
    revealed = {
        line: _short(match[1], Path(program).stem)
        for (name, line), all_ in said.items() if name == program
        for _, text in all_ if (match := _REVEALED.match(text))
    }  # fmt: skip
    assert revealed == expected


def _short(annotation: str, module: str) -> str:
    return annotation.replace("penstock.pipeline.", "").replace(f"{module}.", "").replace("builtins.", "")


def wrong_lines() -> dict[int, set[str]]:
    """Who refuses each wrong line, by its number."""
    lines = WRONG.read_text().splitlines()
    return {n: set(match[2].split(", ")) for n, line in enumerate(lines, 1) if (match := _WRONG.fullmatch(line))}


def test_wrong_lines_and_only_they_are_refused_by_mypy(said: Said) -> None:
    refused = {line for (name, line), all_ in said.items() if name == WRONG.name and all_[0][0] == "error"}
    assert refused == {line for line, who in wrong_lines().items() if "mypy" in who}


@pytest.mark.parametrize("line", wrong_lines())
def test_a_wrong_line_is_refused_by_whom_it_says(line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROGRAMS))
    who = wrong_lines()[line]
    run, names = program_with_only(line)
    if "call" in who:
        with pytest.raises((TypeError, AttributeError)):
            run()
        return
    run()
    mistakes = [m for m in names["app"].check() if m.line == line and "go nowhere" not in m.what]
    assert len(mistakes) == ("check" in who), names["app"].check()


def program_with_only(line: int) -> tuple[Callable[[], None], dict[str, Any]]:
    """The program of wrong lines, with one of them."""
    tree = ast.parse(WRONG.read_text())
    tree.body = [node for node in tree.body if node.lineno == line or node.lineno not in wrong_lines()]
    names: dict[str, Any] = {"__name__": "wrong", "__file__": str(WRONG)}
    code = compile(tree, str(WRONG), "exec")
    return lambda: exec(code, names), names
