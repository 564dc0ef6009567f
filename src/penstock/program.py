"""The user's program: found in the calling process, imported again in the zygote under one name.

A script is imported under its file's name and aliased as `__main__`, so `python x.py` and `penstock run x.py` give
one class name, and what was pickled by reference to `__main__` is found in a worker.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from penstock.errors import PenstockError

_importing = False
_imported: tuple[ModuleType, Program] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """How to import the user's program in another process."""

    path: str | None
    """The script's file, where `__main__` is one."""
    module: str | None
    """The module's name, where `__main__` was started with `-m` or by the CLI from a package."""
    sys_path: tuple[str, ...]
    cwd: str
    argv: tuple[str, ...] = ()
    """What the program finds in `sys.argv`, in workers too: it may decide by it what it builds."""


def current_program() -> Program:
    """What runs as `__main__` in this process; neither path nor module in a notebook, a shell, or `-c`."""
    main = sys.modules.get("__main__")
    if _imported is not None and main is _imported[0]:  # by the CLI: what it imported is the program
        return replace(_imported[1], sys_path=tuple(p or os.getcwd() for p in sys.path), argv=tuple(sys.argv))
    spec = getattr(main, "__spec__", None)
    path, module = None, None
    if spec is not None and spec.name and not spec.name.endswith("__main__"):
        module = spec.name
    elif spec is None and _is_script(file := getattr(main, "__file__", None) or ""):
        path = os.path.abspath(file)
    return Program(path, module, tuple(p or os.getcwd() for p in sys.path), os.getcwd(), tuple(sys.argv))


def _is_script(file: str) -> bool:
    """Without the suffix it is a starter such as `bin/pytest`: nothing of the user's, and not to be imported again."""
    return file.endswith(".py") and Path(file).is_file()


def being_imported() -> bool:
    """True while penstock imports the user's program: nothing may be run then (rule "guard it")."""
    return _importing


def import_program(program: Program) -> ModuleType | None:
    """Import the program under its own name and alias it as `__main__`. None: there is nothing to import."""
    global _importing, _imported
    _importing = True
    try:
        if program.module is not None:
            module = importlib.import_module(program.module)
        elif program.path is not None:
            module = _import_script(Path(program.path))
        else:
            return None
    finally:
        _importing = False
    sys.modules["__main__"] = module
    _imported = (module, program)
    return module


def _import_script(path: Path) -> ModuleType:
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PenstockError(f"{path} is no Python file; name a .py file or a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.modules["__main__"] = module
    spec.loader.exec_module(module)
    return module
