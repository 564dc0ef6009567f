"""Log records of workers reach the caller with their level and logger, and one record is one object in JSON logs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from engine_scripts import environment, write
from hypothesis import given
from hypothesis import strategies as st

from penstock.slot.process.worker_log import LoggedLine, from_line, to_line
from penstock.supervisor.whole_lines import WholeLines

SCRIPT = """
    import logging, sys, penstock as ps

    log = logging.getLogger("shop.orders")

    class Work:
        def open(self, context):
            self.log = context.log

        def __call__(self, x):
            log.debug("fine detail")
            log.info("two\\nlines %s", "\\u00e4" * 3)
            try:
                1 / 0
            except ZeroDivisionError:
                self.log.exception("it went wrong")
            log.error("long %s", "x" * 50_000)
            print("printed")
            return x

    app = ps.Pipeline("logs")
    app.source([1], name="numbers").stage("work").map(Work).sink(ps.discard(), name="out")
"""


def _records(folder: Path, level: str) -> list[dict[str, str]]:
    write(folder, "logs.py", SCRIPT)
    ran = subprocess.run(
        [sys.executable, "-m", "penstock", "run", "logs.py", "--json-logs", "--log-level", level, "--run-dir", "run"],
        cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=60, check=True,
    )
    return [told for line in ran.stderr.splitlines() if (told := json.loads(line)).get("slot") == "work/0"]


@pytest.mark.parametrize("level", ["debug", "info", "error"])
def test_the_level_reaches_workers_and_records_are_objects_with_level_and_logger(tmp_path: Path, level: str) -> None:
    told = [(record["level"], record["logger"]) for record in _records(tmp_path, level)]
    expected = [
        ("debug", "shop.orders"), ("info", "shop.orders"), ("error", "penstock.user.work.0"), ("error", "shop.orders"),
        ("info", "penstock.worker"),
    ]
    numbers = logging.getLevelNamesMapping()
    least = numbers[level.upper()]
    assert told == [one for one in expected if numbers[one[0].upper()] >= least or one[1] == "penstock.worker"]


def test_a_record_keeps_its_lines_its_error_and_says_what_was_cut(tmp_path: Path) -> None:
    of_level = {(record["level"], record["logger"]): record for record in _records(tmp_path, "info")}
    assert of_level["info", "shop.orders"]["message"] == "two\nlines äää"
    assert of_level["error", "penstock.user.work.0"]["error"].endswith("ZeroDivisionError: division by zero")
    assert "[cut: this text has 50,005 characters]" in of_level["error", "shop.orders"]["message"]


@given(st.builds(LoggedLine, st.integers(0, 60), st.text(), st.text(), st.floats(0, 1e10), st.text()))
def test_any_record_is_one_line_that_comes_back(record: LoggedLine) -> None:
    line = to_line(record).encode()
    assert line.count(b"\n") == 1
    assert from_line(WholeLines().add(line).decode().removesuffix("\n")) == record


@given(st.integers(3000, 60_000), st.sampled_from("xä€\x00\x1b"))
def test_a_long_record_still_fits_into_a_line(length: int, character: str) -> None:
    line = to_line(LoggedLine(20, "a", character * length, 0.0, character * length)).encode()
    assert len(line) <= 16_384
    assert from_line(line.decode().removesuffix("\n")) is not None


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=20_000), max_size=3), st.data())
def test_no_character_is_cut_in_two_whatever_comes_in_pieces(lines: list[str], data: st.DataObject) -> None:
    text = "\n".join(lines).encode()
    whole, got, at = WholeLines(), [], 0
    while at < len(text):
        size = data.draw(st.integers(1, 70_000))
        got.append(whole.add(text[at : at + size]))
        at += size
    pieces = [*got, whole.rest]
    assert b"".join(pieces) == text
    for piece in pieces:
        piece.decode()
