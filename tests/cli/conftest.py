"""Gives the command line: called in this process, in a directory of its own, with programs written on the spot."""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click.testing
import pytest

# Handmade run directories are shared with the tests of what reads them.
sys.path.insert(0, str(Path(__file__).parents[1] / "metrics"))

from penstock.cli.main import cli

Command = Callable[..., click.testing.Result]


@pytest.fixture
def penstock_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Calls the command line; importing a TARGET changes the process, so that is put back."""
    modules, path, main = set(sys.modules), list(sys.path), sys.modules["__main__"]
    logger = logging.getLogger("penstock")
    kept = logger.handlers, logger.level, logger.propagate
    monkeypatch.chdir(tmp_path)
    for name in ("PENSTOCK_SET", "PENSTOCK_RUN_DIR", "PENSTOCK_STATE_DIR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*args: str, env: dict[str, str] | None = None, color: bool = False) -> click.testing.Result:
        return click.testing.CliRunner().invoke(cli, list(args), env=env, color=color)

    yield call
    sys.modules["__main__"] = main
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        # What a test imported as a program must not be there for the next one.
        if not name.startswith("penstock") and _is_below(sys.modules[name], tmp_path):
            del sys.modules[name]
    logger.handlers, logger.level, logger.propagate = kept


def _is_below(module: object, directory: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(directory)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file into the working directory."""

    def write(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write


def error_lines(result: click.testing.Result) -> Sequence[str]:
    return result.stderr.splitlines()
