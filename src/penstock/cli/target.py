"""Finds the pipeline that a TARGET names: `clicks.py`, `pkg.module`, either with `:app` behind it.

Importing the file runs the user's code: what that raises is told as the user's, with the user's frames only.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import penstock
from penstock.errors import PenstockError
from penstock.pipeline import Pipeline
from penstock.program import Program, import_program
from penstock.working_directory import resolved, working_directory

importlib.import_module("penstock.plan.planner")
# Imported while the path is penstock's own: behind `_search_first` a file of the user's may go before the standard
# library's, and should mean something to the user's program only.

_OWN_FILES = str(Path(penstock.__path__[0])) + os.sep
_IMPORT_SYSTEM = "<frozen importlib"


class TargetNotFound(PenstockError):
    """There is no such file, module, or pipeline in it."""


class TargetBroken(PenstockError):
    """The user's file raised while it was imported, or its function while it was called."""

    def __init__(self, what: str, error: BaseException) -> None:
        text = "".join(_shown(error).format()).rstrip()
        super().__init__(f"{what} failed:\n{text}{_suggestion(error)}\nfix this and try again")


@dataclass(frozen=True, slots=True)
class Target:
    """A TARGET, taken apart."""

    place: str
    """A file or a module's name."""
    name: str | None
    """What follows the colon."""

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py") or os.sep in self.place or Path(self.place).is_file()


def parse_target(text: str) -> Target:
    """Raises `TargetNotFound` for a text that can name nothing."""
    place, colon, name = text.rpartition(":")
    if not colon:
        return Target(text, None)
    if not place or not name.isidentifier():
        raise TargetNotFound(f"{text!r} is not a target; write clicks.py, clicks.py:app or package.module:app")
    return Target(place, name)


def load_pipeline(text: str, arguments: Sequence[str] = ()) -> Pipeline:
    """Import the TARGET and give its pipeline. Raises `TargetNotFound`, `TargetBroken`.

    The program finds itself and its arguments in `sys.argv`, as where Python runs it.
    """
    target = parse_target(text)
    sys.argv[:] = [target.place, *arguments]
    module = _import_file(Path(target.place)) if target.is_file else _import_module(target.place)
    found = _named(module, target) if target.name is not None else _only(module, target)
    return found if isinstance(found, Pipeline) else _made(found, target)


def _import_file(path: Path) -> ModuleType:
    script = resolved(path)
    if path.is_dir():
        raise TargetNotFound(f"{path} is a directory; name a file in it or, without slashes, a module")
    if not path.is_file():
        raise TargetNotFound(f"there is no file {path}{_hint(path.name, _python_files(path.parent), path.parent)}")
    program = Program(str(script), None, _search_first(str(script.parent)), working_directory())
    return _import(program, str(path))


def _import_module(name: str) -> ModuleType:
    path = _search_first(working_directory())
    try:
        return _import(Program(None, name, path, working_directory()), name)
    except TargetBroken as exc:
        cause = exc.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{name}.".startswith(f"{cause.name}."):
            modules = [Path(file).stem for file in _python_files(Path())] + _packages(Path())
            raise TargetNotFound(f"there is no module {cause.name!r}{_hint(cause.name, modules)}") from None
        raise


def _import(program: Program, shown: str) -> ModuleType:
    try:
        module = import_program(program)
    except PenstockError:
        raise
    except SystemExit as exc:
        raise TargetNotFound(
            f"{shown} ended the process while it was imported (exit {exc.code}); "
            'put what runs under `if __name__ == "__main__":`'
        ) from exc
    except Exception as exc:
        raise TargetBroken(f"importing {shown}", exc) from exc
    if module is None:
        raise TargetNotFound(f"{shown} is not a program; name a .py file or a module")
    return module


def _search_first(directory: str) -> tuple[str, ...]:
    """Put a directory where Python would have put a script's; gives the whole path."""
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return tuple(sys.path)


def _named(module: ModuleType, target: Target) -> object:
    name = str(target.name)
    if not hasattr(module, name):
        hint = _hint(name, [*pipelines(module), *factories(module)])
        raise TargetNotFound(f"{target.place} has no {name!r}{hint}")
    return getattr(module, name)


def _only(module: ModuleType, target: Target) -> object:
    """The file's pipeline, or else its function that returns one, where there is just one."""
    found: dict[str, Any] = dict(pipelines(module)) or dict(factories(module))
    if not found:
        raise TargetNotFound(f'{target.place} has no pipeline; write app = penstock.Pipeline("name") at its top level')
    if len(found) > 1:
        choice = ", ".join(f"{target.place}:{name}" for name in found)
        raise TargetNotFound(f"{target.place} has {len(found)} pipelines; name one: {choice}")
    return next(iter(found.values()))


def _made(factory: object, target: Target) -> Pipeline:
    shown = f"{target.place}:{target.name or getattr(factory, '__name__', '')}"
    if not callable(factory):
        kind = type(factory).__name__
        raise TargetNotFound(f"{shown} is of type {kind}, not a Pipeline; name one, or a function that returns one")
    if _required(factory):
        raise TargetNotFound(f"{shown} takes arguments; name a function that needs none")
    try:
        made = factory()
    except PenstockError:
        raise
    except Exception as exc:
        raise TargetBroken(f"{shown}()", exc) from exc
    if not isinstance(made, Pipeline):
        kind = type(made).__name__
        raise TargetNotFound(f"{shown}() returned a value of type {kind}, not a Pipeline; fix the function")
    return made


def pipelines(module: ModuleType) -> dict[str, Pipeline]:
    """The module's pipelines by their first name in it."""
    found: dict[str, Pipeline] = {}
    for name, value in vars(module).items():
        if isinstance(value, Pipeline) and all(value is not other for other in found.values()):
            found[name] = value
    return found


def factories(module: ModuleType) -> dict[str, Callable[[], object]]:
    """Functions written in the module that say they return a Pipeline and need no arguments."""
    return {
        name: value for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
        and _returns_pipeline(value) and not _required(value)
    }


def _returns_pipeline(function: Callable[..., object]) -> bool:
    annotation = getattr(function, "__annotations__", {}).get("return")
    return annotation is Pipeline or (isinstance(annotation, str) and annotation.split(".")[-1] == "Pipeline")


def _required(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    return False


def _python_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.py"))


def _packages(directory: Path) -> list[str]:
    return sorted(path.parent.name for path in directory.glob("*/__init__.py"))


def _hint(wrong: str, names: list[str], directory: Path = Path()) -> str:
    near = difflib.get_close_matches(wrong, names, n=3)
    if near:
        return f"; did you mean {' or '.join(str(directory / name) for name in near)}?"
    return f"; there are: {', '.join(names[:10])}" if names else "; check the name and the directory"


def _shown(error: BaseException) -> traceback.TracebackException:
    """The traceback without the frames of penstock, which calls and is called, and of the import system."""
    shown = traceback.TracebackException.from_exception(error)
    shown.stack = traceback.StackSummary.from_list([frame for frame in shown.stack if _is_users(frame.filename)])
    return shown


def _is_users(file: str) -> bool:
    return not file.startswith((_OWN_FILES, _IMPORT_SYSTEM)) and f"{os.sep}importlib{os.sep}" not in file


def _suggestion(error: BaseException) -> str:
    """What Python 3.11 adds to an `AttributeError` only when it prints it itself."""
    if not isinstance(error, AttributeError) or error.name is None or sys.version_info >= (3, 12):
        return ""
    near = difflib.get_close_matches(error.name, dir(error.obj), n=1)
    return f". Did you mean: {near[0]!r}?" if near else ""
