"""The working directory, which may be gone: deleted by somebody, or out of reach since the user has changed."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.errors import PenstockError


def working_directory() -> str:
    """Its path. Raises `PenstockError` where it is gone."""
    try:
        return os.getcwd()
    except OSError as exc:
        raise PenstockError(
            f"the working directory is gone, or cannot be reached ({exc.strerror}); change to one that exists and "
            "start again"
        ) from exc


def absolute(path: str | Path) -> str:
    """A path as `os.path.abspath` has it. Raises `PenstockError` where it is relative to nothing."""
    given = os.fspath(path)
    return os.path.normpath(given if os.path.isabs(given) else os.path.join(working_directory(), given))


def resolved(path: str | Path) -> Path:
    """A path without links, `~` as the home. Raises `PenstockError` where it is relative to nothing."""
    given = Path(path).expanduser()
    return (given if given.is_absolute() else Path(working_directory()) / given).resolve()
