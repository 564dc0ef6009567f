"""What is handed out: the wheel's content, the pins, and that a bare installation imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINS = sorted((ROOT / "requirements").glob("*.txt"))

OPTIONAL = ("pyarrow", "duckdb", "polars", "pandas", "numpy", "zstandard", "zlib_ng", "psycopg")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    pure = {**os.environ, "PENSTOCK_COMPILE": "0"}
    subprocess.run(build, cwd=ROOT, check=True, timeout=100, capture_output=True, env=pure)
    [file] = directory.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_holds_every_module_and_tells_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert modules <= set(wheel.namelist())
    assert "penstock/py.typed" in wheel.namelist()


def test_the_wheel_holds_the_example_with_its_data(wheel: zipfile.ZipFile) -> None:
    example = ROOT / "examples" / "analytics"
    files = {f"penstock/examples/analytics/{path.relative_to(example).as_posix()}" for path in example.rglob("*")
             if path.is_file() and "__pycache__" not in path.parts}
    assert files
    assert files <= set(wheel.namelist())


def test_what_a_compiled_wheel_compiles_is_there() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        modules = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]
    assert [module for module in modules if not (ROOT / "src" / module).is_file()] == []
    assert modules == sorted(set(modules))


def test_the_wheel_names_its_licence_and_its_command(wheel: zipfile.ZipFile) -> None:
    [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    [commands] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode()
    assert "penstock = penstock.__main__:main" in wheel.read(commands).decode()


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_every_pin_is_exact_has_a_hash_and_names_no_index(pins: Path) -> None:
    text = pins.read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip()]
    assert [line for line in lines if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert "://" not in text


def test_both_pin_files_agree_on_every_version() -> None:
    dev, standard = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("dev.txt", "standard.txt")
    )
    assert {name: dev[name] for name in standard} == standard


def test_what_a_bare_installation_depends_on_is_three_packages() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    assert [re.split(r"[<>=]", name)[0] for name in dependencies] == ["click", "cloudpickle", "msgspec"]


def test_importing_penstock_imports_no_optional_package() -> None:
    program = f"""
import sys
for name in {OPTIONAL!r}:
    sys.modules[name] = None
import penstock
import penstock.cli.main
import penstock.connectors.duckdb, penstock.connectors.files, penstock.connectors.load, penstock.connectors.stdio
import penstock.connectors.postgres
import penstock.testing
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
