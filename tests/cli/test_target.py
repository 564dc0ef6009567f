"""Promises of finding the pipeline that a TARGET names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Command = Callable[..., Result]
Write = Callable[[str, str], Path]

ONE = """
    from penstock.pipeline import Pipeline

    app = Pipeline("clicks")
"""
TWO = """
    from penstock.pipeline import Pipeline

    app = same = Pipeline("clicks")
    other = Pipeline("visits")
"""
FACTORY = """
    from penstock.pipeline import Pipeline

    def make() -> Pipeline:
        return Pipeline("made")

    def make_of(name: str) -> Pipeline:
        return Pipeline(name)

    def number() -> int:
        return 7
"""


@pytest.fixture
def check(penstock_command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """`penstock check TARGET` where every pipeline is without mistakes: says its name."""
    monkeypatch.setattr("penstock.pipeline.Pipeline.check", lambda self: ())
    monkeypatch.setattr("penstock.pipeline.Pipeline.plan", lambda self, **given: None)
    return lambda target: penstock_command("check", target)


@pytest.mark.parametrize("target", ["clicks.py", "./clicks.py", "clicks.py:app", "clicks", "clicks:app"])
def test_a_pipeline_is_found_in_a_file_and_in_a_module(
    check: Callable[[str], Result], program: Write, target: str
) -> None:
    program("clicks.py", ONE)
    result = check(target)
    assert (result.exit_code, result.stdout) == (0, "clicks: no mistakes\n")


def test_a_pipeline_is_found_in_a_package(check: Callable[[str], Result], program: Write) -> None:
    program("shop/__init__.py", "")
    program("shop/flow.py", ONE)
    assert check("shop.flow").stdout == "clicks: no mistakes\n"


def test_a_file_imports_what_lies_beside_it(check: Callable[[str], Result], program: Write) -> None:
    program("deep/beside_it.py", "NAME = 'clicks'")
    program("deep/flow.py", "import beside_it\nfrom penstock.pipeline import Pipeline\napp = Pipeline(beside_it.NAME)")
    assert check("deep/flow.py").exit_code == 0


def test_of_several_pipelines_one_must_be_named(check: Callable[[str], Result], program: Write) -> None:
    program("clicks.py", TWO)
    result = check("clicks.py")
    assert result.exit_code == 2
    assert "2 pipelines; name one: clicks.py:app, clicks.py:other" in result.stderr
    assert check("clicks.py:other").stdout == "visits: no mistakes\n"


@pytest.mark.parametrize("target", ["flow.py", "flow.py:make"])
def test_a_function_that_makes_the_pipeline_is_called(
    check: Callable[[str], Result], program: Write, target: str
) -> None:
    program("flow.py", FACTORY)
    assert check(target).stdout == "made: no mistakes\n"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("click.py", "there is no file click.py; did you mean clicks.py?"),
        ("zzz.py", "there is no file zzz.py; there are"),
        ("nowhere/flow.py", "there is no file nowhere/flow.py"),
        ("clickz", "there is no module 'clickz'; did you mean clicks?"),
        ("shop.flows", "there is no module 'shop.flows'"),
        ("shopp.flow", "there is no module 'shopp'; did you mean shop?"),
        ("clicks.py:ap", "clicks.py has no 'ap'; did you mean app?"),
        ("clicks.py:", "'clicks.py:' is not a target; write clicks.py"),
        ("./shop", "is a directory"),
        ("flow.py:make_of", "flow.py:make_of takes arguments"),
        ("flow.py:number", "flow.py:number() returned a value of type int, not a Pipeline"),
        ("flow.py:Pipeline", "takes arguments"),
        ("flow.py:NUMBER", "is of type int, not a Pipeline; name one"),
        ("empty.py", "empty.py has no pipeline; write app = "),
        ("leaves.py", "leaves.py ended the process while it was imported (exit 3); put what runs under"),
    ],
)
def test_a_target_that_names_nothing_is_answered_with_what_to_write(
    check: Callable[[str], Result], program: Write, target: str, said: str
) -> None:
    program("clicks.py", ONE)
    program("flow.py", FACTORY + "\n    NUMBER = 7\n")
    program("empty.py", "")
    program("leaves.py", "raise SystemExit(3)")
    program("shop/__init__.py", "")
    result = check(target)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def prepare():\n    return 1 / 0\n\nprepare()\n", "ZeroDivisionError: division by zero"),
        ("x = (\n", "SyntaxError"),
        ("import not_installed_anywhere\n", "No module named 'not_installed_anywhere'"),
        ("from penstock.pipeline import Pipeline\ndef make() -> Pipeline:\n    raise KeyError('k')\n", "KeyError: 'k'"),
    ],
)
@pytest.mark.parametrize("target", ["broken.py", "broken"])
def test_what_the_users_file_raises_is_shown_as_the_users(
    check: Callable[[str], Result], program: Write, source: str, said: str, target: str
) -> None:
    program("broken.py", source)
    result = check(target)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "broken.py" in result.stderr
    assert "program.py" not in result.stderr
    assert "importlib" not in result.stderr
    assert "bug in penstock" not in result.stderr


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ('.stage("a").mapp(str)', "'Stream' object has no attribute 'mapp'. Did you mean: 'map'?"),
        ('.stage("a", worker=3)', "unexpected keyword argument 'worker'; did you mean 'workers'?"),
    ],
)
def test_a_wrong_call_is_shown_at_the_users_line_with_the_name_that_was_meant(
    check: Callable[[str], Result], program: Write, call: str, said: str
) -> None:
    program("wrong.py", f'import penstock as ps\napp = ps.Pipeline("wrong")\napp.source([1]){call}\n')
    result = check("wrong.py")
    assert said in result.stderr
    assert 'wrong.py", line 3' in result.stderr
    assert "pipeline.py" not in result.stderr
