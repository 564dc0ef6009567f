"""Compiles what a worker does in each turn, by mypyc, where a wheel is asked for with HATCH_BUILD_HOOK_ENABLE_CUSTOM=1.

The modules stay Python and run as Python where nothing was compiled: a checkout, an sdist, a wheel built without. Which
ones, `pyproject.toml` says. Nothing is written beside the sources: a compiled module there would hide the edited one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SETUP = """
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify({arguments!r}, opt_level="3", debug_level="0", group_name="penstock")
setup(name="penstock", packages=[], ext_modules=modules)
"""
_MYPY = ["--explicit-package-bases", "--ignore-missing-imports", "--config-file=", "--hide-error-context"]


class CompiledTurn(BuildHookInterface[Any]):
    """`modules`: what to compile, as paths below `src`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
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
            self.finalize(version, build_data, "")
            raise RuntimeError(f"mypyc did not compile penstock (it needs a C compiler):\n{done.stdout}")
        build_data["pure_python"], build_data["infer_tag"] = False, True
        for file in compiled:
            build_data["force_include"][str(file)] = str(file.relative_to(self._work))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if (work := getattr(self, "_work", None)) is not None:
            shutil.rmtree(work)
