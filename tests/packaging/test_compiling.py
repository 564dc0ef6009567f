"""Building a wheel: compiled where a C compiler is, else of Python alone, and the build says which and why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

hatch_build = pytest.importorskip("hatch_build", reason="needs hatchling")
pytestmark = pytest.mark.timeout(300)
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
PROJECT = """
[build-system]
requires = ["hatchling>=1.33"]
build-backend = "hatchling.build"

[project]
name = "penstock"
version = "1"
requires-python = ">=3.11"

[tool.hatch.build.targets.wheel]
only-include = ["src/penstock"]
sources = ["src"]

[tool.hatch.build.targets.wheel.hooks.custom]
requires = ["mypy==2.4.1", "setuptools==80.9.0"]
modules = ["penstock/one.py", "penstock/two.py"]
"""
PURE = "penstock-1-py3-none-any.whl"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two modules that is built as penstock is."""
    package = tmp_path / "project/src/penstock"
    package.mkdir(parents=True)
    for name in ("__init__.py", "one.py", "two.py"):
        (package / name).write_text("def doubled(x: int) -> int:\n    return 2 * x\n")
    (tmp_path / "project/pyproject.toml").write_text(PROJECT)
    shutil.copy(ROOT / "hatch_build.py", tmp_path / "project")
    return tmp_path / "project"


def _build(project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel in `dist`."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", hatch_build.VARIABLE)}
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"], cwd=project, check=False, timeout=280,
        env={**environment, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def _wheel(project: Path) -> str:
    [file] = (project / "dist").iterdir()
    return file.name


@needs_compiler
@pytest.mark.parametrize("variables", [{}, {"PENSTOCK_COMPILE": "1"}], ids=["by default", "demanded"])
def test_a_wheel_is_compiled_where_a_compiler_is(project: Path, variables: dict[str, str]) -> None:
    done = _build(project, **variables)
    assert "penstock is compiled: 2 modules" in done.stdout
    interpreter = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert _wheel(project).startswith(f"penstock-1-{interpreter}-{interpreter}-")
    names = zipfile.ZipFile(project / "dist" / _wheel(project)).namelist()
    assert sum(name.endswith(".so") for name in names) == 3  # one is what the two share
    assert not list((project / "src").rglob("*.so"))  # it would hide the edited module


@needs_compiler
def test_a_compiled_wheel_names_the_oldest_glibc_that_it_runs_with(project: Path) -> None:
    _build(project, PENSTOCK_COMPILE="1")
    assert _wheel(project).endswith(f"-manylinux_2_17_{os.uname().machine}.whl")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"CC": "no-such-compiler -pthread"}, "there is no C compiler ('no-such-compiler'"),
        ({"PENSTOCK_COMPILE": "0"}, "PENSTOCK_COMPILE=0 asks for Python alone"),
        pytest.param({"CC": "false"}, "mypyc or the C compiler failed", marks=needs_compiler),
    ],
    ids=["no compiler", "unwanted", "compiler fails"],
)
def test_a_wheel_is_of_python_alone_where_it_is_not_compiled(
    project: Path, variables: dict[str, str], why: str
) -> None:
    done = _build(project, **variables)
    assert f"penstock is not compiled: {why}" in done.stdout
    assert "It runs as Python" in done.stdout
    assert (done.returncode, _wheel(project)) == (0, PURE)


def test_a_build_fails_where_a_compiled_wheel_is_demanded_and_cannot_be_made(project: Path) -> None:
    done = _build(project, PENSTOCK_COMPILE="1", CC="no-such-compiler")
    assert "PENSTOCK_COMPILE=1 demands a compiled wheel, but there is no C compiler" in done.stdout
    assert done.returncode != 0
    assert not list((project / "dist").glob("*.whl"))


def test_another_value_of_the_variable_is_refused(project: Path) -> None:
    done = _build(project, PENSTOCK_COMPILE="yes")
    assert "PENSTOCK_COMPILE is 'yes'; set it to 1 (compiled or nothing) or 0 (Python alone)" in done.stdout
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("variables", "fetched"),
    [
        pytest.param({}, ["mypy==2.4.1", "setuptools==80.9.0"], marks=needs_compiler),
        ({"CC": "no-such-compiler"}, []),
        ({"PENSTOCK_COMPILE": "0"}, []),
    ],
)
def test_an_isolated_build_fetches_what_compiling_takes_only_where_it_compiles(
    project: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], fetched: list[str]
) -> None:
    from hatchling.build import get_requires_for_build_wheel

    monkeypatch.chdir(project)
    for name in ("CC", hatch_build.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert get_requires_for_build_wheel() == fetched


@pytest.mark.parametrize(
    ("told", "tag"),
    [
        ("  NEEDED               libc.so.6\n    0x06 0x00 02 GLIBC_2.2.5\n", "manylinux_2_17"),
        ("  NEEDED               libc.so.6\n    0x06 0x00 02 GLIBC_2.34\n    0x09 03 GLIBC_2.14\n", "manylinux_2_34"),
        ("  NEEDED               libssl.so.3\n  NEEDED               libc.so.6\n", "linux"),
    ],
)
def test_what_the_compiled_modules_need_decides_on_which_machines_they_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str, tag: str
) -> None:
    objdump = tmp_path / "objdump"
    objdump.write_text(f"#!/bin/sh\nprintf '%s' '{told}'\n")
    objdump.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    assert hatch_build.platform_tag([tmp_path / "x.so"]) == f"{tag}_{os.uname().machine}"
