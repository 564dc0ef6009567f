"""Removing a run directory: renamed first, so that nobody takes half of one for a whole one."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path


def remove_run_dir(root: Path) -> None:
    """Make away with a run directory whose lock we hold."""
    doomed = root.with_name(f".{root.name}.removing")
    if doomed.exists():
        shutil.rmtree(doomed)
    try:
        root.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed)
    with contextlib.suppress(OSError):  # others of this user are in it
        root.parent.rmdir()
