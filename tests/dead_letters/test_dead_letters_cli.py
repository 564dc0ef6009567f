"""`penstock dead-letters`: what people and programs are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.dead_letters import dead_letters
from penstock.dead_letter_record import new_record
from penstock.dead_letter_store import letters_file, letters_folder
from penstock.slot.records.dead_letter_file import DeadLetterFile

Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    def run(*words: str) -> Result:
        return CliRunner().invoke(dead_letters, words, env={"PENSTOCK_STATE_DIR": str(tmp_path)})

    return run


def keep(state_dir: Path, pipeline: str, stage: str, count: int = 1, error: str = "ValueError: no number") -> None:
    file = DeadLetterFile(letters_file(letters_folder(state_dir, pipeline, "r1"), stage, 0))
    for index in range(count):
        file.append(
            new_record(
                pipeline=pipeline, stage=stage, slot=0, operator="map(parse) clicks.py:14", time_s=1.7e9 + index,
                attempts=3, error=error, traceback='Traceback:\n  File "clicks.py", line 15', row={"n": index},
            )
        )
    file.flush()
    file.close()


def test_the_only_pipeline_need_not_be_named(cli: Cli, tmp_path: Path) -> None:
    keep(tmp_path, "clicks", "parse", 2)
    found = cli("list")
    assert found.exit_code == 0
    assert found.output.startswith("2 dead letters of clicks: parse 2\n\nr1-parse.0-1\n")
    for part in ("parse/0  map(parse) clicks.py:14, 3 attempts", "ValueError: no number", "row: {'n': 1}"):
        assert part in found.output


def test_several_pipelines_must_be_told_apart(cli: Cli, tmp_path: Path) -> None:
    keep(tmp_path, "clicks", "parse")
    keep(tmp_path, "orders", "parse")
    found = cli("list")
    assert found.exit_code == 2 and "name one: clicks, orders" in found.output
    assert cli("list", "orders").exit_code == 0
    found = cli("list", "order")
    assert found.exit_code == 0 and found.stderr == "pipelines with dead letters: clicks, orders\n"


def test_an_empty_store_is_not_an_error(cli: Cli) -> None:
    assert cli("list").output == "no dead letters\n"
    assert cli("list", "clicks").output == "no dead letters of clicks\n"
    assert cli("export").output == ""
    assert json.loads(cli("export", "--format", "json").output) == []


def test_the_newest_are_shown_and_the_rest_counted(cli: Cli, tmp_path: Path) -> None:
    keep(tmp_path, "clicks", "parse", 25)
    keep(tmp_path, "clicks", "enrich", 5)
    output = cli("list", "--limit", "3", "--stage", "parse").output
    assert output.startswith("25 dead letters of clicks: parse 25\nthe newest 3; --limit 0 shows all\n")
    assert [line for line in output.splitlines() if line.startswith("r1-")] == [f"r1-parse.0-{n}" for n in (23, 24, 25)]
    assert cli("list").output.startswith("30 dead letters of clicks: parse 25, enrich 5\n")
    assert cli("list", "--limit", "0").output.count("row:") == 30


def test_a_line_fits_the_terminal(cli: Cli, tmp_path: Path) -> None:
    keep(tmp_path, "clicks", "parse", error="ValueError: " + "x" * 200 + "\nsecond line")
    output = cli("list").output
    assert max(map(len, output.splitlines())) == 80
    assert "second line" not in output


def test_list_speaks_json(cli: Cli, tmp_path: Path) -> None:
    keep(tmp_path, "clicks", "parse", 2)
    found = json.loads(cli("list", "--format", "json", "--limit", "1").output)
    assert found["pipeline"] == "clicks" and found["total"] == 2 and found["by_stage"] == {"parse": 2}
    assert [letter["row"] for letter in found["dead_letters"]] == [{"n": 1}]


@pytest.mark.parametrize("words", [("r1-parse.0-2",), ("clicks", "r1-parse.0-2")])
def test_one_letter_is_shown_whole(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    keep(tmp_path, "clicks", "parse", 3)
    output = cli("show", *words).output
    assert 'File "clicks.py", line 15' in output and "row       {'n': 1}" in output and "attempts  3" in output
    assert json.loads(cli("show", *words, "--format", "json").output)["row"] == {"n": 1}


@pytest.mark.parametrize("words", [(), ("a", "b", "c"), ("r1-parse.0-9",)])
def test_a_letter_that_is_not_named_rightly_is_wrong_usage(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    keep(tmp_path, "clicks", "parse")
    assert cli("show", *words).exit_code == 2


def test_export_gives_every_letter_a_line(cli: Cli, tmp_path: Path) -> None:
    keep(tmp_path, "clicks", "parse", 30)
    lines = [json.loads(line) for line in cli("export", "--format", "jsonl").output.splitlines()]
    assert [line["row"]["n"] for line in lines] == list(range(30))
    assert lines[0]["error"] == "ValueError: no number" and lines[0]["id"] == "r1-parse.0-1"
    assert json.loads(cli("export", "--format", "json").output) == lines
    assert cli("export", "--format", "rows", "--limit", "2").output == '{"n":28}\n{"n":29}\n'
