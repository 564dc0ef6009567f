"""What nobody needs any more but who copies the run: kept under another name until that is done.

A checkpointer reads records first, and copies the files that they speak of afterwards. In between, a worker may have
gone on and be through with a file. So it says before the first record that it copies (a pin, which goes into every
queue and into the control page), and a worker that is through with a file looks at the pin: if it is set, the file is
renamed rather than removed. Whoever takes the pin away removes what was kept.

The look at the pin comes after the commit that has no more need of the file. If the pin is not set by then, the
checkpointer reads its first record later than that, and finds one that does not speak of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from penstock.byte_files import Files

_KEPT = "kept-"


def remove_or_keep(files: Files, path: Path, *, pinned: bool) -> None:
    """What no record speaks of any more. What is not there is no error."""
    if pinned and files.exists(path):
        files.rename(path, _kept(path))
    else:
        files.remove(path)


def places(path: Path) -> Iterator[Path]:
    """Where a file may be, in the order to look: it is renamed once, and never back."""
    yield path
    yield _kept(path)


def remove_kept(files: Files, folder: Path) -> None:
    """By whoever takes the pin away."""
    for path in files.beginning_with(folder / _KEPT):
        files.remove(path)


def _kept(path: Path) -> Path:
    return path.with_name(_KEPT + path.name)
