"""The user's program: found in the calling process, imported again in the zygote under one name.

A script is imported under its file's name and aliased as `__main__`, so `python x.py` and `penstock run x.py` give
one class name, and what was pickled by reference to `__main__` is found in a worker.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

import msgspec
from msgspec.structs import replace

from penstock.errors import PenstockError
from penstock.working_directory import absolute, working_directory

_OURS = ("click", "cloudpickle", "msgspec", "penstock")
_importing = False
_imported: tuple[ModuleType, Program] | None = None


class Program(msgspec.Struct, frozen=True):
    """How to import the user's program in another process."""

    path: str | None
    """The script's file, where `__main__` is one."""
    module: str | None
    """The module's name, where `__main__` was started with `-m` or by the CLI from a package."""
    sys_path: tuple[str, ...]
    cwd: str
    argv: tuple[str, ...] = ()
    """What the program finds in `sys.argv`, in workers too: it may decide by it what it builds."""
    shadowed: tuple[str, ...] = ()
    """Modules of the standard library that the program finds its own in place of: a `calendar.py` beside a script."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the user has given a script or module; a notebook's are its kernel's."""
        return self.argv[1:] if self.path or self.module else ()


def current_program() -> Program:
    """What runs as `__main__` in this process; neither path nor module in a notebook, a shell, or `-c`."""
    main = sys.modules.get("__main__")
    sys_path = tuple(p or working_directory() for p in sys.path)
    shadowed, argv = _shadowed(sys_path), tuple(sys.argv)
    if _imported is not None and main is _imported[0]:  # by the CLI: what it imported is the program
        return replace(_imported[1], sys_path=sys_path, argv=argv, shadowed=shadowed)
    spec = getattr(main, "__spec__", None)
    path, module = None, None
    if spec is not None and spec.name and not spec.name.endswith("__main__"):
        module = spec.name
    elif spec is None and _is_script(file := getattr(main, "__file__", None) or ""):
        path = absolute(file)
    return Program(path, module, sys_path, working_directory(), argv, shadowed)


def _shadowed(sys_path: tuple[str, ...]) -> tuple[str, ...]:
    """Names in the standard library that something of the user's goes before, and that this process has not from it."""
    library = os.path.dirname(os.__file__)
    before = sys_path[: sys_path.index(library)] if library in sys_path else sys_path
    names = {name.partition(".")[0] for place in before for name in _listing(place)} & sys.stdlib_module_names
    return tuple(sorted(name for name in names if not _is_in(library, sys.modules.get(name))))


def _listing(place: str) -> list[str]:
    try:
        return os.listdir(place)
    except OSError:  # a file with modules in it, or nothing: an import looks for itself
        return []


def _is_in(library: str, module: ModuleType | None) -> bool:
    if module is None:
        return False
    file = getattr(module, "__file__", None)
    return file is None or file.startswith(library + os.sep)


def _is_script(file: str) -> bool:
    """Without the suffix it is a starter such as `bin/pytest`: nothing of the user's, and not to be imported again."""
    return file.endswith(".py") and Path(file).is_file()


def at_home(program: Program) -> Program:
    """Give this process what the program finds in the calling one: from here on, imports are the user's."""
    os.chdir(program.cwd)
    sys.argv[:] = program.argv
    sys.path[:] = program.sys_path
    for name in program.shadowed:
        sys.modules.pop(name, None)
    return program


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
    name = module_name(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PenstockError(f"{path} is not a Python file; name a .py file or a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.modules["__main__"] = module
    spec.loader.exec_module(module)
    return module


def module_of(program: Program) -> str | None:
    """What the program is called in the processes of workers; None in a notebook, a shell, or `-c`."""
    return module_name(Path(program.path)) if program.path is not None else program.module


def module_name(path: Path) -> str:
    """What a script is called where it is imported: `a.b.py` is no part of a package `a`, `queue.py` no library.

    Beside a package `orders` that it imports, `orders.py` is not that package.
    """
    name = path.stem.replace(".", "_")
    taken = name in sys.stdlib_module_names or name in _OURS or _is_anothers(name, path)
    return f"{name}_script" if taken else name


def _is_anothers(name: str, path: Path) -> bool:
    """True: an import of that name finds something else than the script."""
    found = PathFinder.find_spec(name)  # by `sys.path`, which is the same in the caller and in its workers
    return found is not None and (found.origin is None or not os.path.samefile(found.origin, path))
