"""Nothing that a row, an error or a file's name says is obeyed by a terminal."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import click.testing
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
from penstock.cli.logs import JsonFormatter, LineFormatter
from penstock.cli.main import cli
from penstock.dead_letter_frames import encode_frame
from penstock.dead_letter_record import new_record
from penstock.dead_letter_store import letters_file, letters_folder
from penstock.errors import FileUnusable, PenstockError, PipelineFailed, QueueDamaged
from penstock.report import Report
from penstock.terminal_text import visible, visible_json, visible_lines

NASTY = "\x1b]0;owned\x07\x1b[2J\rgone\x08\x7f\x85\x9b31m\u202eevil\u2066\u2028\x00end"
TEXTS = st.text(st.characters() | st.sampled_from(NASTY))
DIRECTIONS = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def obeyed(text: str, kept: str = "\n\t") -> list[str]:
    """The characters that a terminal would obey."""
    return [
        char for char in text
        if char not in kept
        and (unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(char) in DIRECTIONS)
    ]


@given(TEXTS)
def test_what_a_terminal_would_obey_is_made_visible_and_all_else_stays(text: str) -> None:
    assert not obeyed(visible(text), kept="")
    assert not obeyed(visible_lines(text))
    plain = "".join(char for char in text if not obeyed(char, kept="") and char not in "\u061c\u200e\u200f")
    assert visible(plain) == visible_lines(plain) == plain


@given(st.recursive(TEXTS.filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)), st.lists))
def test_json_means_the_same(value: Any) -> None:
    told = visible_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(told) == value
    assert not obeyed(told, kept="")


@given(TEXTS)
def test_errors_are_fit_for_a_terminal(text: str) -> None:
    report = Report("p", "failed", 0.0, {}, 0)
    for error in (
        PenstockError(text), PipelineFailed("s", text, text, report), QueueDamaged(Path("x"), text),
        FileUnusable(Path("x") / text.replace("\0", ""), text, OSError(1, text)),
    ):
        assert not obeyed(str(error))


@given(TEXTS)
def test_log_records_are_fit_for_a_terminal(text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord("penstock", logging.ERROR, "f", 1, "%s", (text,), sys.exc_info())
    assert not obeyed(LineFormatter(clear_line=False).format(record))
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert not obeyed(JsonFormatter().format(record), kept="")


@pytest.fixture
def letter(tmp_path: Path) -> str:
    """The directory of state that holds a letter which says something bad wherever it can."""
    record = new_record(
        pipeline="p", stage="s" + NASTY, slot=0, operator=NASTY, time_s=1.0, attempts=2, error=f"ValueError: {NASTY}",
        traceback=f"Traceback\n  {NASTY}\n", row={"name": NASTY, NASTY: [NASTY]},
    )
    record.id = "run-s.0-1" + NASTY
    record.row_repr = NASTY
    file = letters_file(letters_folder(tmp_path, "p", "run"), "s", 0)
    file.parent.mkdir(parents=True)
    file.write_bytes(encode_frame(record))
    return str(tmp_path)


@pytest.mark.parametrize("command", [
    ["list"], ["list", "p"], ["list", "--format", "json"], ["show", "run-s.0-1" + NASTY],
    ["show", "run-s.0-1" + NASTY, "--format", "json"], ["export"], ["export", "--format", "json"],
    ["export", "--format", "rows"],
])  # fmt: skip
def test_dead_letters_are_fit_for_a_terminal(letter: str, command: list[str]) -> None:
    done = click.testing.CliRunner().invoke(cli, ["dead-letters", *command, "--state-dir", letter])
    assert done.exit_code == 0, done.output
    assert "owned" in done.output
    assert not obeyed(done.output)


PROGRAM = """
    import penstock as ps
    NASTY = {nasty!r}
    class Bad:
        def open(self, context):
            context.log.warning("opened %s", NASTY)
        def close(self):
            raise RuntimeError(NASTY)
        def __call__(self, row):
            if row == 1: raise ValueError(NASTY)
            if row == 2: raise type("E", (Exception,), dict(__str__=lambda self: NASTY))()
            return row
    app = ps.Pipeline("nasty")
    app.source([1, 2, 3], name="n").stage("work", on_error=ps.{policy}).map(Bad).sink(ps.discard())
"""


@pytest.mark.parametrize("policy", ["dead_letter(give_up_after=None)", "fail()"])
@pytest.mark.parametrize("logs", [[], ["--json-logs"]], ids=["lines", "json"])
def test_what_a_run_says_is_fit_for_a_terminal(tmp_path: Path, policy: str, logs: list[str]) -> None:
    lines = PROGRAM.format(nasty=NASTY, policy=policy).splitlines()
    (tmp_path / "nasty.py").write_text("\n".join(line[4:] for line in lines))
    environment = {
        **os.environ, "PYTHONPATH": str(Path(penstock.__file__).parents[1]), "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    for command in (["run", "nasty.py", "--no-progress", "--run-dir", "runs", *logs], ["status", "--run-dir", "runs"],
                    ["status", "--json", "--run-dir", "runs"], ["clean", "--all", "--run-dir", "runs"]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "penstock", *command], cwd=tmp_path, env=environment, capture_output=True,
            timeout=120, check=False,
        )
        said = (done.stdout + done.stderr).decode()
        assert "owned" in said or command[0] != "run", said
        assert not obeyed(said), said
