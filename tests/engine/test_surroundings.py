"""What lies where a program is started is the program's affair at most: penstock's own processes run none of it."""

from __future__ import annotations

import ast
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from engine_scripts import TIMEOUT_S, environment, python, write

SIMPLE = """
    import penstock as ps
    app = ps.Pipeline("simple")
    app.source([1, 2], name="n").stage("work").map(lambda x: x + 1).sink(print)
    if __name__ == "__main__":
        app.run(progress=False)
"""
LIBRARY = sorted(
    path.name.removesuffix(".py") for path in Path(sysconfig.get_path("stdlib")).glob("*.py")
    if not path.name.startswith("_")
)


def plant(folder: Path, names: list[str]) -> Path:
    """Modules that leave a mark where they are imported; the mark."""
    mark = folder / "mark"
    folder.mkdir(exist_ok=True)
    for name in names:
        write(folder, f"{name}.py", f"open({str(mark)!r}, 'a').write('{name} ')\nraise SystemExit(99)\n")
    return mark


@pytest.mark.parametrize("command", [(), ("-m", "penstock", "run")], ids=["python", "penstock"])
def test_modules_in_the_working_directory_are_not_imported(tmp_path: Path, command: tuple[str, ...]) -> None:
    script = write(tmp_path / "home", "simple.py", SIMPLE)
    mark = plant(tmp_path / "shared", LIBRARY)
    safe = ["-P"] if command else []  # `python -m` itself puts the working directory first
    done = subprocess.run(
        [sys.executable, *safe, *command, str(script)], cwd=tmp_path / "shared", env=environment(tmp_path),
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )
    assert (done.stdout, mark.exists()) == ("2\n3\n", False), done.stderr


def test_a_module_of_the_users_may_have_the_name_of_one_of_the_library(tmp_path: Path) -> None:
    write(tmp_path, "json.py", "def greet(x): return f'hello {x}'\n")
    write(tmp_path, "queue.py", "def part(x): return f'bye {x}'\n")
    write(tmp_path, "mine.py", """
        import penstock as ps
        import json
        def late(x):
            import queue
            return queue.part(x)
        app = ps.Pipeline("mine")
        app.source([1], name="n").stage("work").map(json.greet).stage("late").map(late).sink(print)
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    for command in ((), ("-P", "-m", "penstock", "run", "--no-progress")):
        done = python(tmp_path, *command, "mine.py")
        assert done.stdout == "bye hello 1\n", done.stderr


@pytest.mark.parametrize("name", ["a.b.py", "json.py", "queue.py", "types.py", "click.py", "my-script.v1.2.py"])
def test_a_script_runs_whatever_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, """
        import dataclasses, penstock as ps
        @dataclasses.dataclass
        class Point:
            x: int
        app = ps.Pipeline("named")
        (app.source([Point(1)], name="n").stage("work").map(lambda p: Point(p.x + 1))
            .stage("next").map(lambda p: p.x if type(p) is Point else p).sink(print))
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    commands: list[tuple[str, ...]] = [("-P", "-m", "penstock", "run", "--no-progress")]
    if name not in ("json.py", "queue.py", "types.py", "click.py"):  # Python itself puts it before the library
        commands.append(())
    for command in commands:
        done = python(tmp_path, *command, name)
        assert done.stdout == "2\n", done.stderr


@pytest.mark.parametrize("where", ["", "lib"])
def test_a_script_may_have_the_name_of_a_package_that_it_imports(tmp_path: Path, where: str) -> None:
    write(tmp_path, f"{where}/orders/__init__.py".removeprefix("/"), "")
    write(tmp_path, f"{where}/orders/rules.py".removeprefix("/"), "def more(x): return x + 1\n")
    write(tmp_path, "orders.py", f"""
        import sys
        sys.path.insert(0, {str(tmp_path / where)!r})
        import penstock as ps
        from orders.rules import more
        app = ps.Pipeline("named")
        app.source([1], name="n").stage("work").map(more).sink(print)
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    done = python(tmp_path, "orders.py")
    assert done.stdout == "2\n", done.stderr


def test_arguments_reach_the_program_in_every_process(tmp_path: Path) -> None:
    write(tmp_path, "args.py", """
        import sys, penstock as ps
        seen = list(sys.argv)
        app = ps.Pipeline("args")
        app.source(["x"], name="n").map(lambda x: seen).sink(print)
    """)
    done = python(tmp_path, "-m", "penstock", "run", "--no-progress", "args.py", "--", "--fast", "7", "é\udcff")
    assert done.stdout == "['args.py', '--fast', '7', 'é\\udcff']\n", done.stderr


def test_arguments_may_be_longer_than_a_command_line_takes_as_one(tmp_path: Path) -> None:
    write(tmp_path, "args.py", """
        import sys, penstock as ps
        app = ps.Pipeline("args")
        app.source(["x"], name="n").map(lambda x: sum(map(len, sys.argv[1:]))).sink(print)
    """)
    done = python(tmp_path, "-m", "penstock", "run", "--no-progress", "args.py", "--", *["y" * 100_000] * 4)
    assert done.stdout == "400000\n", done.stderr


def test_a_pipeline_is_the_same_whatever_the_environment_calls_its_user(tmp_path: Path) -> None:
    from penstock.engine.rundir import folder_name

    code = "from penstock.engine.rundir import folder_name; print(folder_name('clicks', '/srv'))"
    for name in ("root", "somebody", "../x", ""):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**environment(tmp_path), "LOGNAME": name, "USER": name},
            capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
        )
        assert done.stdout.strip() == folder_name("clicks", "/srv")


def test_the_longest_names_there_may_be_run(tmp_path: Path) -> None:
    write(tmp_path, "long.py", """
        import penstock as ps
        app = ps.Pipeline("p" * 200)
        (app.source(["x", ""], name="n" * 100).stage("a" * 100, workers=2).map(lambda x: x * 3_000_000)
            .stage("b" * 100, edge=ps.Edge(memory="1 MiB")).map(lambda x: 1 / (len(x) - 3_000_000))
            .sink(ps.discard(), name="c" * 100))
        if __name__ == "__main__":
            print(app.run(progress=False).dead_letters, len(list(ps.read_dead_letters("p" * 200))))
    """)
    done = python(tmp_path, "long.py")
    assert done.stdout.split() == ["1", "1"], done.stderr


TRACES = """
    import os, sys
    notes = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.addaudithook(lambda event, args: os.write(notes, f"{os.getpid()} {event}\\n".encode()) and None)
"""


def test_a_tool_that_traces_all_processes_keeps_its_descriptor_in_every_one(tmp_path: Path) -> None:
    """In workers of a later zygote, too, which is forked from a supervisor with much of its own to close."""
    write(tmp_path / "site", "sitecustomize.py", TRACES)
    write(tmp_path, "traced.py", """
        import os, pathlib, signal, penstock as ps

        def kills_once(x):
            if x == 2 and not pathlib.Path("killed").exists():
                pathlib.Path("killed").touch()
                os.kill(os.getppid(), signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
            return x, os.getpid()

        app = ps.Pipeline("traced")
        app.source(range(4), name="n").stage("work").map(kills_once).sink(print)
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    given = environment(tmp_path)
    given |= {"PYTHONPATH": f"{tmp_path / 'site'}:{given['PYTHONPATH']}", "NOTES": str(tmp_path / "notes")}
    done = subprocess.run(
        [sys.executable, "traced.py"], cwd=tmp_path, env=given, capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )
    rows = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    assert [x for x, _ in rows] == [0, 1, 2, 3], done.stderr
    traced = {line.split()[0] for line in (tmp_path / "notes").read_text().splitlines()}
    assert {str(pid) for _, pid in rows} <= traced


def test_the_collector_runs_while_the_program_is_imported_in_a_worker(tmp_path: Path) -> None:
    """It is off while penstock's own modules are imported there."""
    write(tmp_path, "collected.py", """
        import gc, penstock as ps

        AT_IMPORT = gc.isenabled()

        def at_import(x):
            return AT_IMPORT

        app = ps.Pipeline("collected")
        app.source([1], name="n").stage("work").map(at_import).sink(print)
        if __name__ == "__main__":
            app.run(progress=False)
    """)
    done = python(tmp_path, "collected.py")
    assert done.stdout == "True\n", done.stderr
