"""Pipelines in every place where a user writes them: scripts, modules, one-liners, notebooks, test functions."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_scripts import environment, python, write

import penstock as ps
from penstock.testing import ListSink

PROGRAM = """
    import dataclasses, msgspec, penstock as ps

    class Click(msgspec.Struct):
        a: int
        tags: list[str] = []

        def doubled(self):
            return 2 * self.a

    class Tagged(Click, frozen=True, tag=True):
        more: str = "x"

    @dataclasses.dataclass
    class Point:
        x: int
        y: int = 0

    FACTOR = 10

    class Scale:
        def open(self, context):
            self.factor = FACTOR
        def __call__(self, p):
            assert type(p) is Point, type(p)
            return Point(p.x * self.factor, p.y)

    def to_point(c):
        assert type(c) is Click, type(c)
        return Point(c.doubled())

    def shown(p):
        return f"{p.x},{p.y}"

    offset = 1
    app = ps.Pipeline("anywhere")
    (app.source([Click(1), Click(2)], name="clicks")
        .stage("points").map(lambda c: Click(c.a + offset)).map(to_point)
        .stage("scale").map(Scale)
        .stage("text").map(shown)
        .sink(print))
    if __name__ == "__main__":
        print(app.run(progress=False).outcome)
"""
EXPECTED = ["40,0", "60,0", "finished"]


def test_a_script_runs(tmp_path: Path) -> None:
    write(tmp_path, "clicks.py", PROGRAM)
    done = python(tmp_path, "clicks.py")
    assert (done.stdout.split(), done.stderr) == (EXPECTED, "")


def test_a_script_in_another_directory_runs_and_finds_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "sub/neighbour.py", "def double(x):\n    return 2 * x\n")
    script = write(tmp_path, "sub/my-script.py", """
        import penstock as ps
        from neighbour import double
        app = ps.Pipeline("near")
        app.source([1, 2], name="n").map(double).sink(print)
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    done = python(tmp_path, str(script))
    assert (done.stdout, done.stderr) == ("2\n4\n", "")


def test_a_program_finds_its_arguments_in_workers_too(tmp_path: Path) -> None:
    write(tmp_path, "args.py", """
        import sys, penstock as ps
        app = ps.Pipeline("args")
        app.source(["x"], name="n").map(lambda x: sys.argv).sink(print)
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    assert python(tmp_path, "args.py", "--fast", "7").stdout == "['args.py', '--fast', '7']\n"


def test_a_module_runs(tmp_path: Path) -> None:
    write(tmp_path, "pkg/__init__.py", "")
    write(tmp_path, "pkg/clicks.py", PROGRAM)
    done = python(tmp_path, "-m", "pkg.clicks")
    assert (done.stdout.split(), done.stderr) == (EXPECTED, "")


def test_a_package_with_a_main_runs(tmp_path: Path) -> None:
    write(tmp_path, "pkg/__init__.py", "")
    write(tmp_path, "pkg/__main__.py", PROGRAM)
    done = python(tmp_path, "-m", "pkg")
    assert (done.stdout.split(), done.stderr) == (EXPECTED, "")


def test_a_program_from_standard_input_runs(tmp_path: Path) -> None:
    write(tmp_path, "clicks.py", PROGRAM)
    done = python(tmp_path, "-", stdin=(tmp_path / "clicks.py").read_text())
    assert (done.stdout.split(), done.stderr) == (EXPECTED, "")


def test_a_program_on_the_command_line_runs(tmp_path: Path) -> None:
    write(tmp_path, "clicks.py", PROGRAM)
    done = python(tmp_path, "-c", (tmp_path / "clicks.py").read_text())
    assert (done.stdout.split(), done.stderr) == (EXPECTED, "")


KERNEL = """
    import sys, types
    cells = open("cells.txt").read().split("# cell")
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    for cell in cells:
        exec(compile(cell, "<cell>", "exec"), main.__dict__)
"""


def test_cells_of_a_notebook_run_and_may_be_run_again(tmp_path: Path) -> None:
    write(tmp_path, "cells.txt", PROGRAM + """\
    # cell
    offset = 2
    print(app.run(progress=False).outcome)
    print(list(ps.Pipeline("rows").source([Tagged(7)], name="n").map(lambda c: (c.more, c.doubled())).results()))
    """)
    write(tmp_path, "kernel.py", KERNEL)
    done = python(tmp_path, "kernel.py")
    assert done.stdout.split("\n") == [*EXPECTED, "60,0", "80,0", "finished", "[('x', 14)]", ""], done.stderr


def test_a_script_without_a_guard_is_told_to_have_one(tmp_path: Path) -> None:
    unguarded = PROGRAM.replace('if __name__ == "__main__":', "if True:").replace("run(", "run(run_dir='run', ")
    write(tmp_path, "clicks.py", unguarded)
    done = python(tmp_path, "clicks.py")
    assert done.returncode == 1
    assert "clicks.py:43: run() is called while the file is imported" in done.stderr
    assert 'guard it: write `if __name__ == "__main__":` above it' in done.stderr


class Row(msgspec.Struct):
    x: int


@dataclasses.dataclass
class Pair:
    row: Row
    y: int


def test_functions_and_classes_of_a_test_module_run(where: Any) -> None:
    class Local(msgspec.Struct):
        pair: Pair

    factor = 3

    def multiply(row: Row) -> Pair:
        return Pair(row, row.x * factor)

    app, out = ps.Pipeline("local"), ListSink[Any]()
    rows = app.source([Row(1), Row(2)], name="rows").stage("work").map(multiply)
    rows.stage("next").map(lambda pair: Local(pair)).map(partial(_unpacked, extra=factor)).sink(out, name="out")
    app.run(**where)
    assert out.rows == [Pair(Row(1), 6), Pair(Row(2), 9)]


def _unpacked(local: Any, extra: int) -> Pair:
    return Pair(local.pair.row, local.pair.y + extra)


NOTEBOOK_CLASSES = """
    import enum, msgspec, pickle, penstock as ps
    from typing import ClassVar, Generic, TypeVar

    T = TypeVar("T")

    class Base(msgspec.Struct, kw_only=True, tag=True, rename="camel"):
        \'\'\'doc\'\'\'
        first_name: str
        tags: list[str] = []
        K: ClassVar[int] = 7
        other = "constant"

        def again(self):
            return Base(first_name=self.first_name)

        @property
        def loud(self):
            return self.first_name.upper()

        def __post_init__(self):
            if self.first_name == "bad":
                raise ValueError("bad")

    class Child(Base, tag="kid"):
        age: int = msgspec.field(default=3, name="AGE")

        def again(self):
            return super().again()

    class Node(msgspec.Struct):
        value: int
        next: "Node | None" = None

        def length(self):
            return 1 + (self.next.length() if self.next else 0)

    class Box(msgspec.Struct, Generic[T]):
        content: T

    class Color(enum.Enum):
        RED = 1

    def local():
        class Local(msgspec.Struct):
            a: int
        return Local

    Local = local()

    def tells(x):
        child = Child(first_name="ann", age=4)
        return [
            msgspec.json.encode(child).decode(),
            str(msgspec.json.decode(b'{"type":"kid","firstName":"bob"}', type=Child).age),
            str(child.again() == Base(first_name="ann")), child.loud, str(Base.K), Base.other, Base.__doc__,
            refused(b'{"type":"Base","firstName":"bad"}', Base), refused(b'{"value":"x"}', Node),
            str(msgspec.json.decode(b'{"value":1,"next":{"value":2}}', type=Node).length()),
            str(msgspec.json.decode(b'{"content":1}', type=Box[int]).content), str(Color.RED is Color(1)),
            str(msgspec.json.decode(b'{"a":1}', type=Local) == Local(1)),
            str(pickle.loads(pickle.dumps(child)) == child),
        ]

    def refused(data, cls):
        try:
            return repr(msgspec.json.decode(data, type=cls))
        except msgspec.ValidationError as error:
            return str(error)

    for line in tells(0):
        print(line)
    app = ps.Pipeline("classes")
    app.source([1], name="n").flat_map(tells).sink(print)
    app.run(progress=False)
"""


def test_classes_of_a_notebook_are_in_a_worker_what_they_are_there(tmp_path: Path) -> None:
    write(tmp_path, "cells.txt", NOTEBOOK_CLASSES)
    write(tmp_path, "kernel.py", KERNEL)
    done = python(tmp_path, "kernel.py")
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert lines[0] == '{"type":"kid","AGE":4,"firstName":"ann","tags":[]}'
    assert len(lines) == 28
    assert lines[14:] == lines[:14]


CHATTY = """
    import logging, os, sys, penstock as ps

    class Chatty:
        def open(self, context):
            context.log.info("opened %s", context.stage)
        def __call__(self, x):
            print("printed", x)
            print("to stderr", x, file=sys.stderr)
            logging.getLogger("mine").warning("logged %d", x)
            os.system("echo from a child")
            return x

    app = ps.Pipeline("chatty")
    app.source([7], name="n").stage("work").map(Chatty).sink(print)
    if __name__ == "__main__":
        app.run(progress=False)
"""


def test_what_user_code_prints_and_logs_reaches_the_user_with_its_slot(tmp_path: Path) -> None:
    write(tmp_path, "chatty.py", CHATTY)
    done = python(tmp_path, "chatty.py")
    assert done.stdout == "7\n"
    lines = done.stderr.splitlines()
    for text in ("INFO opened work", "printed 7", "to stderr 7", "WARNING logged 7", "from a child"):
        assert f"work/0 | {text}" in lines


def test_output_that_nobody_reads_any_more_ends_the_run_quietly(tmp_path: Path) -> None:
    write(tmp_path, "many.py", """
        import penstock as ps
        app = ps.Pipeline("many")
        app.source(range(1_000_000), name="n").sink(print)
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    command = [sys.executable, "many.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [process.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
        process.stdout.close()
        assert process.wait(timeout=30) != 0
        assert process.stderr.read().count("Traceback") <= 1


def test_what_cannot_be_shipped_is_a_mistake_that_names_the_variable() -> None:
    held = threading.Lock()
    app = ps.Pipeline("held")
    app.source([1], name="n").map(lambda x: held or x).sink(ps.discard())
    with pytest.raises(ps.PipelineInvalid, match="`held`"):
        app.run()
