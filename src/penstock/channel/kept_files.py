"""What nobody needs any more but who copies the run: kept under another name until that is done.

A checkpointer reads records first, and copies the files that they speak of afterwards. In between, a worker may have
continued and finished with a file. So it says before the first record that it copies (a pin, which goes into every
queue and into the control page), and a worker that is through with a file looks at the pin: if it is set, the file is
renamed rather than removed. Whoever takes the pin away removes what was kept.

The look at the pin comes after the commit that has no more need of the file. If the pin is not set by then, the
checkpointer reads its first record later than that, and finds one that does not speak of the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from penstock.byte_files import ByteFile, Files
from penstock.errors import NotPrivate, QueueDamaged
from penstock.run_files import refused

T = TypeVar("T")

_KEPT = "kept-"


def remove_or_keep(files: Files, path: Path, *, pinned: bool) -> None:
    """What no record speaks of any more. What is not there is no error."""
    if pinned and files.exists(path):
        files.rename(path, _kept(path))
    else:
        files.remove(path)


def read_part(files: Files, path: Path, offset: int, length: int) -> bytes:
    """Part of a file that a record speaks of, wherever it is by now; fewer bytes at its end.

    Raises `QueueDamaged` where it is gone, `FileUnusable` without access.
    """
    return _asked(files, path, lambda file: file.pread(length, offset))


def size_of(files: Files, path: Path) -> int:
    """How long such a file is. Raises as `read_part`."""
    return _asked(files, path, lambda file: file.size)


def _asked(files: Files, path: Path, ask: Callable[[ByteFile], T]) -> T:
    # It is renamed once at most, and never back.
    for place in (path, _kept(path)):
        try:
            file = files.open(place, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except (OSError, NotPrivate) as exc:
            raise refused(place, "a file that a record speaks of", exc) from exc
        try:
            return ask(file)
        finally:
            file.close()
    raise QueueDamaged(path, "a file that a record speaks of is missing")


def remove_kept(files: Files, folder: Path) -> None:
    """By whoever takes the pin away."""
    for path in files.beginning_with(folder / _KEPT):
        files.remove(path)


def _kept(path: Path) -> Path:
    return path.with_name(_KEPT + path.name)
