"""What a process of penstock's own imports in a way of its own is whole for the user's program."""

from __future__ import annotations

from pathlib import Path

import pytest

import penstock as ps

PROGRAM = """\
import sys

import msgspec
import typing_extensions

import penstock as ps


class Given(typing_extensions.TypedDict):
    name: typing_extensions.Required[str]
    note: typing_extensions.NotRequired[str]


def read(text: str) -> str:
    return msgspec.json.decode(text, type=Given)["name"]


def refused(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=Given)
    except msgspec.ValidationError:
        return True
    return False


def pipeline(rows):
    app = ps.Pipeline("typed-dicts")
    return app.source(rows).stage("work").map(answer)


def answer(text: str) -> str:
    return "refused" if refused(text) else read(text)
"""


def test_msgspec_knows_what_typing_extensions_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was imported in the zygote without them."""
    (tmp_path / "typed_dicts.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)
    import typed_dicts  # type: ignore[import-not-found]

    stream: ps.Stream[str] = typed_dicts.pipeline(['{"name": "a"}', '{"note": "b"}'])
    with stream.results(run_dir=tmp_path / "run", state_dir=tmp_path / "state") as answers:
        assert list(answers) == ["a", "refused"]
