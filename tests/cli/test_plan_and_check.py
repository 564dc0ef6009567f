"""Promises of `penstock check` and `penstock plan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import Result

from penstock.errors import Mistake, PipelineInvalid

Command = Callable[..., Result]

MISTAKE = Mistake("clicks.py", 3, "the stream has no sink", "end it with .sink(...)")


class Described:
    """Stands for a plan: says its settings in every format."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = settings

    def to_text(self) -> str:
        return f"text {self.settings}"

    def to_json(self) -> str:
        return "json"

    def to_mermaid(self) -> str:
        return "mermaid"


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], Path]) -> None:
    monkeypatch.setattr("penstock.pipeline.Pipeline.check", lambda self: ())
    monkeypatch.setattr("penstock.pipeline.Pipeline.plan", lambda self, *, settings: Described(settings))
    program("clicks.py", 'from penstock.pipeline import Pipeline\napp = Pipeline("clicks")\n')


@pytest.mark.parametrize("form", ["json", "mermaid"])
def test_a_plan_is_shown_in_the_asked_format(penstock_command: Command, form: str) -> None:
    assert penstock_command("plan", "clicks.py", "--format", form).stdout == f"{form}\n"


def test_a_plan_is_text_by_default_and_takes_settings(penstock_command: Command) -> None:
    result = penstock_command("plan", "clicks.py", "--set", "a.workers=2", env={"PENSTOCK_SET": "b.workers=3"})
    assert result.stdout == "text {'b.workers': '3', 'a.workers': '2'}\n"


def test_mistakes_are_listed_with_place_and_remedy(
    penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.pipeline.Pipeline.check", lambda self: (MISTAKE, MISTAKE))
    result = penstock_command("check", "clicks.py")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == ["clicks.py:3: the stream has no sink; end it with .sink(...)"] * 2


def test_check_finds_mistakes_of_the_settings_too(penstock_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, *, settings: Mapping[str, object]) -> None:
        assert settings == {"lod.workers": "2"}
        raise PipelineInvalid([Mistake("--set", 0, "there is no stage 'lod'", "did you mean load?")])

    monkeypatch.setattr("penstock.pipeline.Pipeline.plan", refuse)
    result = penstock_command("check", "clicks.py", "--set", "lod.workers=2")
    assert result.exit_code == 2
    assert "there is no stage 'lod'" in result.stdout


def test_a_plan_of_a_pipeline_with_mistakes_is_refused(
    penstock_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, *, settings: Mapping[str, object]) -> None:
        raise PipelineInvalid([MISTAKE])

    monkeypatch.setattr("penstock.pipeline.Pipeline.plan", refuse)
    result = penstock_command("plan", "clicks.py")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the pipeline has 1 mistake" in result.stderr
