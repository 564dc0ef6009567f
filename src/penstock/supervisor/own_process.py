"""Starts a Python process of penstock's own: a supervisor or a zygote. It runs no code that merely lies about.

`python -c` would put the working directory on the import path, and with it a `json.py` of whoever can write there. So
the path is the interpreter's own (`-P`), penstock is loaded from the file it was loaded from in this process, and the
user's path comes in only where the user's program is imported (`zygote.py`).
"""

from __future__ import annotations

import importlib
import importlib.util
import marshal
import os
import sys
from collections.abc import Mapping, Sequence

from penstock.slot.process import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any

_BOOT = """\
import sys
from importlib.util import module_from_spec, spec_from_file_location
module, told, _, *places = sys.argv[1:]
sys.path += [place for place in places[1:] if place not in sys.path]
spec = spec_from_file_location("penstock", places[0])
sys.modules["penstock"] = made = module_from_spec(spec)
spec.loader.exec_module(made)
from penstock.supervisor.own_process import begin
begin(module, int(told), places)
"""
_BROUGHT = ("penstock", "msgspec", "cloudpickle")
"""Packages that may lie where only the caller's path leads to."""
_places: list[str] = []
"""The file that penstock is in, and the folders that its packages are in, once they were found or told."""


def start(
    module: str, told: Mapping[str, Any], run_dir: str, *, fds: Sequence[int], **options: Any
) -> subprocess.Popen[bytes]:
    """Start a process that calls `main(**told)` of a module; its command line shows whose run it is.

    `fds` go over to it; `options` are those of `Popen`.
    """
    import subprocess  # a zygote seldom starts a process, but imports this

    # Not by the command line: that is read by everybody on the machine, and one argument has 128 KiB at most.
    handed = _in_memory(marshal.dumps(dict(told)))  # by the same interpreter, which needs no import for it
    try:
        # An interpreter that is only starting would die of a Ctrl-C that is meant for the caller alone. A mask goes
        # through `exec`: what comes meanwhile waits until the module has called `signals.settle`, and is dropped there.
        with signals.held_back():
            return subprocess.Popen(
                [sys.executable, *_flags(), "-P", "-c", _BOOT, module, str(handed), run_dir, *_found_places()],
                pass_fds=[*fds, handed], **options,
            )
    finally:
        os.close(handed)


def begin(module: str, told: int, places: list[str]) -> None:
    """In the new process: call the module's `main` with what is told."""
    _places[:] = places
    with os.fdopen(told, "rb") as file:
        given = marshal.load(file)
    _import_msgspec()
    importlib.import_module(module).main(**given)


def _import_msgspec() -> None:
    """Import it without `typing_extensions`, which it prefers where it is there, and which imports half of `ast`.

    It takes three names from there, which `typing` has had since Python 3.11. The user's program finds it all the same.
    """
    name = "typing_extensions"
    if name in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules[name]


def _in_memory(data: bytes) -> int:
    fd = os.memfd_create("penstock-told")
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _found_places() -> list[str]:
    if not _places:
        files = [_file_of(name) for name in _BROUGHT]
        _places[:] = [files[0], *dict.fromkeys(os.path.dirname(os.path.dirname(file)) for file in files)]
    return _places


def _file_of(package: str) -> str:
    if package in sys.modules:
        return str(sys.modules[package].__file__)
    spec = importlib.util.find_spec(package)
    assert spec is not None
    return str(spec.origin)


def _flags() -> list[str]:
    """The flags of this interpreter (-O, -W, -X ...), for its children."""
    import subprocess

    return list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
