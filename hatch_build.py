"""Compiles what a worker does in each turn, by mypyc, when a wheel is built, where a C compiler is.

Without a compiler, or where compiling fails, the wheel is one of Python alone, and the build says why. The environment
variable PENSTOCK_COMPILE decides otherwise: 1 demands a compiled wheel, and the build fails where there can be none;
0 makes one of Python. What is compiled, `pyproject.toml` says; the name of the wheel and `penstock --version` tell.

An editable installation stays Python. Nothing is written beside the sources: a compiled module there would hide the
edited one.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "PENSTOCK_COMPILE"
_SETUP = """
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify({arguments!r}, opt_level="3", debug_level="0", group_name="penstock")
setup(name="penstock", packages=[], ext_modules=modules)
"""
_MYPY = ["--explicit-package-bases", "--ignore-missing-imports", "--config-file=", "--hide-error-context"]
_LIBRARIES_OF_GLIBC = {
    "ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1",
}
_OLDEST_GLIBC = 17
"""Minor version of the oldest one that installers know a tag for: manylinux_2_17."""


class NotCompiled(Exception):
    """There is no compiled wheel, and why."""


class CompiledTurn(BuildHookInterface[Any]):
    """`modules`: what to compile, as paths below `src`; `requires`: the packages that this takes."""

    def dependencies(self) -> list[str]:
        """What an isolated build fetches: nothing where nothing will be compiled."""
        return list(self.config["requires"]) if self._obstacle() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        try:
            if (obstacle := self._obstacle()) is not None:
                raise NotCompiled(obstacle)
            compiled = self._compile()
        except NotCompiled as exc:
            self._clear()
            if _wanted() == "1":
                raise RuntimeError(f"{VARIABLE}=1 demands a compiled wheel, but {exc}") from None
            self.app.display_warning(f"penstock is not compiled: {exc}. It runs as Python, with slower turns")
            return
        self.app.display_info(f"penstock is compiled: {len(compiled) - 1} modules")
        build_data["pure_python"] = False
        build_data["tag"] = f"{_interpreter()}-{_interpreter()}{sys.abiflags}-{platform_tag(compiled)}"
        for file in compiled:
            build_data["force_include"][str(file)] = str(file.relative_to(self._work))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._clear()

    def _obstacle(self) -> str | None:
        """Why nothing will be compiled; None: it will."""
        if _wanted() == "0":
            return f"{VARIABLE}=0 asks for Python alone"
        if sys.platform != "linux" or sys.implementation.name != "cpython":
            return "this is not CPython on Linux"
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        if shutil.which(compiler) is None:
            return f"there is no C compiler ({compiler!r}; Debian, Ubuntu: apt install gcc libc6-dev)"
        if not Path(sysconfig.get_path("include"), "Python.h").is_file():
            return "the headers of Python are not there (Debian, Ubuntu: apt install python3-dev)"
        return None

    def _compile(self) -> list[Path]:
        """The compiled modules, and what they share."""
        absent = [name for name in ("mypyc", "setuptools") if importlib.util.find_spec(name) is None]
        if absent:  # a build that is not isolated
            raise NotCompiled(f"{' and '.join(absent)} cannot be imported (pip install {shlex.join(self._requires)})")
        self._work = Path(tempfile.mkdtemp(prefix="penstock-build-"))
        sources = Path(self.root, "src", "penstock")
        shutil.copytree(sources, self._work / "penstock", ignore=shutil.ignore_patterns("__pycache__"))
        modules = self.config["modules"]
        (self._work / "setup.py").write_text(_SETUP.format(arguments=[*_MYPY, *modules]))
        done = subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=self._work, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        compiled = [file for file in self._work.rglob("*.so") if "build" not in file.relative_to(self._work).parts]
        if done.returncode or len(compiled) != len(modules) + 1:  # one of them is what the modules share
            raise NotCompiled(f"mypyc or the C compiler failed:\n{done.stdout}")
        return compiled

    @property
    def _requires(self) -> Sequence[str]:
        return [str(name) for name in self.config["requires"]]

    def _clear(self) -> None:
        if (work := getattr(self, "_work", None)) is not None:
            shutil.rmtree(work, ignore_errors=True)


def _wanted() -> str:
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "0", "1"):
        raise RuntimeError(f"{VARIABLE} is {wanted!r}; set it to 1 (compiled or nothing) or 0 (Python alone)")
    return wanted


def _interpreter() -> str:
    return f"cp{sys.version_info.major}{sys.version_info.minor}"


def platform_tag(files: Iterable[Path]) -> str:
    """Which machines the compiled modules fit: manylinux where they need nothing but glibc, of its version.

    Raises nothing: where this cannot be known (another C library, no `objdump`), they fit machines like this one.
    """
    machine = os.uname().machine
    symbols, libraries = _needed(files)
    if platform.libc_ver()[0] != "glibc" or symbols is None or not libraries <= _LIBRARIES_OF_GLIBC:
        return f"linux_{machine}"
    return f"manylinux_2_{max([_OLDEST_GLIBC, *symbols])}_{machine}"


def _needed(files: Iterable[Path]) -> tuple[set[int] | None, set[str]]:
    """Minor versions of glibc that the modules name, and the libraries; None where `objdump` cannot tell."""
    symbols: set[int] = set()
    libraries: set[str] = set()
    for file in files:
        try:
            told = subprocess.run(["objdump", "-p", file], check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None, set()
        symbols.update(int(minor) for minor in re.findall(r"\bGLIBC_2\.(\d+)", told))
        libraries.update(re.findall(r"^\s*NEEDED\s+(\S+)", told, re.MULTILINE))
    return symbols, libraries
