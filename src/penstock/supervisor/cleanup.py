"""Removing a run directory."""

from __future__ import annotations

import contextlib
from pathlib import Path

from penstock.private_files import remove_directory
from penstock.supervisor import claims


def remove_run_dir(root: Path) -> None:
    """Make away with a run directory whose lock we hold."""
    claimed = claims.noted(root)
    remove_directory(root)
    claims.forget(root, claimed)
    with contextlib.suppress(OSError):  # others of this user are in it
        root.parent.rmdir()
