"""How the code blocks of a document are tried: in order, in one directory, the way a reader would.

- `python`: a program. Its first line may name the file (`# clicks.py`), for later blocks to use. Run by itself;
  by pytest where the name begins with `test_`. In an HTML comment (`invisible-code-block: python`): preparation.
- `console`: `$ command` lines are run; the lines below each must come out, `...` standing for anything.
- `sh`: not run. Commands, flags, make targets and extras must exist.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import click
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from penstock.cli.main import cli

ROOT = Path(__file__).parents[2]
KNOWN = frozenset({"python", "console", "sh", "toml", "text", "mermaid", "ini"})
"""Languages a block may be written in; the last four are only read."""
LIMIT_S = 60.0

_FENCE = re.compile(r"^ {0,3}```(\S*)", re.MULTILINE)
_NAMED = re.compile(r"# (\w+\.py)\s*$")


@dataclass(frozen=True)
class Reader:
    """Somebody who works through one document, in a directory of their own."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the programs of the page find there: where a server is."""

    def work_through(self, document: Path) -> None:
        """Try every block; the first one that fails is an `AssertionError` with the document's line."""
        parsers = [
            CodeBlockParser(language="python", evaluator=self._program),
            CodeBlockParser(language="console", evaluator=self._console),
            CodeBlockParser(language="sh", evaluator=check_commands),
        ]
        for example in Sybil(parsers=parsers).parse(document).examples():
            example.evaluate()

    def _program(self, example: Example) -> None:
        source = str(example.parsed)
        named = _NAMED.match(source.partition("\n")[0])
        file = self.directory / (named[1] if named else f"line_{example.line}.py")
        # A block without a name is read in the document: its traceback tells the line there.
        file.write_text(source if named else "\n" * example.line + source)
        runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if file.name.startswith("test_") else []
        self._run([sys.executable, *runner, file.name], example)

    def _console(self, example: Example) -> None:
        for command, expected in console_steps(str(example.parsed)):
            output = self._run(["sh", "-c", command], example)
            assert shows(output, expected), f"{_where(example)}: `{command}` printed\n{output}\nnot\n{expected}"

    def _run(self, command: list[str], example: Example) -> str:
        environment = {
            **os.environ, **self.environment,
            "PATH": os.pathsep.join([str(self._commands()), os.environ.get("PATH", "")]),
            "XDG_STATE_HOME": str(self.directory / "state"),
        }
        done = subprocess.run(
            command, cwd=self.directory, env=environment, timeout=LIMIT_S, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        assert done.returncode == 0, f"{_where(example)}: exit code {done.returncode}\n{done.stdout[-4000:]}"
        return done.stdout

    def _commands(self) -> Path:
        """A directory in which `python` and `penstock` are those that are being tested, installed or not."""
        directory = self.directory / "bin"
        directory.mkdir(exist_ok=True)
        for name, command in (("python", sys.executable), ("penstock", f"{sys.executable} -m penstock")):
            file = directory / name
            file.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            file.chmod(0o755)
        return directory


def named_programs(document: Path) -> dict[str, str]:
    """The programs of a document that have a file name."""
    found: dict[str, str] = {}

    def collect(example: Example) -> None:
        source = str(example.parsed)
        named = _NAMED.match(source.partition("\n")[0])
        if named:
            found[named[1]] = source

    for example in Sybil(parsers=[CodeBlockParser(language="python", evaluator=collect)]).parse(document).examples():
        example.evaluate()
    return found


def console_steps(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with the output shown below it."""
    steps: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], ""))
        else:
            command, shown = steps[-1]
            steps[-1] = (command, f"{shown}{line}\n")
    return steps


def shows(output: str, expected: str) -> bool:
    """Whether the lines of `expected` stand in `output`, in order; `...` is any text, blanks are all alike."""
    wanted = [r"\s+".join(re.escape(word).replace(r"\.\.\.", ".*") for word in line.split())
              for line in expected.splitlines() if line.strip()]
    lines = iter(line.strip() for line in output.splitlines())
    return all(any(re.fullmatch(pattern, line) for line in lines) for pattern in wanted)


def unknown_languages(document: Path) -> list[str]:
    """Languages of fences that no rule above covers: their blocks would go unread."""
    opening = _FENCE.findall(document.read_text())[::2]
    return sorted(set(opening) - KNOWN)


def check_commands(example: Example) -> None:
    """Every command of an `sh` block that this project provides exists, with its flags."""
    for line in str(example.parsed).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        problem = _problem_of(words)
        assert problem is None, f"{_where(example)}: `{line}`: {problem}"


def _problem_of(words: list[str]) -> str | None:
    match words:
        case ["penstock", *rest] | ["python", "-m", "penstock", *rest]:
            return problem_of_command(cli, rest)
        case ["make", *targets]:
            known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
            missing = [t for t in targets if "=" not in t and t not in known]
            return f"no target {missing[0]}" if missing else None
        case ["pip", "install", *what]:
            return _problem_of_install(what)
        case _:
            return None


def problem_of_command(command: click.Command, words: list[str]) -> str | None:
    """What a command line asks for that the command does not have; None: nothing."""
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return f"{command.name} has no command {words[0]}"
        command, words = found, words[1:]
    known = {flag: p for p in command.params for flag in (*p.opts, *p.secondary_opts) if isinstance(p, click.Option)}
    for word, following in pairwise([*words, ""]):
        flag, _, value = word.partition("=")
        if not flag.startswith("-") or flag == "--help":
            continue
        if flag not in known:
            return f"{command.name} has no flag {flag}"
        kind = known[flag].type
        if isinstance(kind, click.Choice) and (value or following) not in kind.choices:
            return f"{flag} takes {', '.join(map(str, kind.choices))}"
    return None


def _problem_of_install(what: list[str]) -> str | None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    for word in what:
        asked = re.fullmatch(r"penstock\[(.*)\]", word)
        missing = set(asked[1].split(",")) - set(project["optional-dependencies"]) if asked else set()
        if missing:
            return f"no extra {sorted(missing)[0]}"
    return None


def _where(example: Example) -> str:
    return f"{Path(example.path).name}:{example.line}"
