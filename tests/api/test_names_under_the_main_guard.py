"""Functions that read what a script sets under its main guard: workers import the script, and lack it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.graph.main_guard import guarded_names

HEAD = """
import functools
import penstock as ps
LIMIT = 10
"""
CHECK = """
    app = ps.Pipeline("guarded")
    app.source(range(3)).map({fn}).sink(print)
    print(len(app.check()), "mistakes")
    app.plan()
"""


def warned(tmp_path: Path, functions: str, guarded: str, fn: str = "f") -> str:
    script = tmp_path / "script.py"
    script.write_text(f'{HEAD}{functions}\nif __name__ == "__main__":\n    {guarded}\n{CHECK.format(fn=fn)}')
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "0 mistakes\n", done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("functions", "fn"),
    [
        ("def f(n): return n * RATE", "f"),
        ("def g(n): return n * RATE\ndef f(n): return g(n) + LIMIT", "f"),
        ("def f(n): return [RATE for _ in range(n)]", "f"),
        ("class F:\n  def open(self, context): self.rate = RATE\n  def __call__(self, n): return n * self.rate", "F"),
        ("class F:\n  def __call__(self, n): return n * RATE", "F()"),
        ("def f(more, n): return n * RATE", "functools.partial(f, 1)"),
        ("def g(n): return n * RATE", "lambda n: g(n)"),
    ],
)
def test_a_function_that_reads_such_a_name_is_a_warning(functions: str, fn: str, tmp_path: Path) -> None:
    said = warned(tmp_path, functions, "RATE = 2.5", fn)
    assert said.count("reads 'RATE', which is set under `if __name__") == 1  # by `check`, and not again by `plan`
    assert "script.py:" in said and "(line " in said


@pytest.mark.parametrize(
    ("functions", "guarded", "fn"),
    [
        ("RATE = 1\ndef f(n): return n * RATE", "RATE = 2.5", "f"),
        ("def f(n): return n * LIMIT", "RATE = 2.5", "f"),
        ("def f(n, RATE=1): return n * RATE", "RATE = 2.5", "f"),
        ("def f(n): return n.RATE", "RATE = 2.5", "f"),
        ("def g(): pass", "RATE = 2.5", "lambda n: n * RATE"),
        ("def f(rate, n): return n * rate", "RATE = 2.5", "functools.partial(f, RATE)"),
    ],
)
def test_others_are_not(functions: str, guarded: str, fn: str, tmp_path: Path) -> None:
    assert warned(tmp_path, functions, guarded, fn) == ""


def test_a_function_that_stands_under_the_guard_itself_is_warned_of(tmp_path: Path) -> None:
    assert "map(f) is set under `if __name__" in warned(tmp_path, "", "def f(n): return n", "f")


@pytest.mark.parametrize(
    ("guarded", "names"),
    [
        ("a = 1", {"a"}), ("a, (b, *c) = x", {"a", "b", "c"}), ("for a in x: b = a", {"a", "b"}),
        ("with x as a: pass", {"a"}), ("import a.b, c as d", {"a", "d"}), ("from a import b as c", {"c"}),
        ("def a(): b = 1", {"a"}), ("class a: b = 1", {"a"}), ("x[(a := 1)] = 2", {"a"}), ("a += 1", {"a"}),
        ("above = 1", set()), ("shared = 1", set()), ("a: int = 1", {"a"}), ("x.a = 1", set()), ("main()", set()),
    ],
)  # fmt: skip
def test_names_that_only_the_guard_sets(guarded: str, names: set[str]) -> None:
    text = f"above = 0\ndef main():\n    global shared\n    inner = 1\nif '__main__' == __name__:\n    {guarded}\n"
    assert set(guarded_names(text)) == names


def test_a_text_that_is_not_a_program_has_none() -> None:
    assert guarded_names("if __name__ == '__main__': a = (") == {}
    assert guarded_names("") == {}
