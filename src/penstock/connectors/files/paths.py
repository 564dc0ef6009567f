"""Which files a user means: globs, lists and directories made into sorted paths. Used by the sources' specs."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from penstock.working_directory import working_directory

Paths: TypeAlias = str | Path | Sequence[str | Path]


def as_patterns(paths: Paths) -> tuple[str, ...]:
    """What the user gave, as a tuple of texts; a trailing slash stays (it means a directory)."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    return tuple(os.fspath(path) for path in given)


def is_glob(pattern: str) -> bool:
    """True: it has wildcards, and no file of just that name is there."""
    return glob.has_magic(pattern) and not os.path.lexists(pattern)


def matching(pattern: str) -> list[str]:
    """The files that a path, a glob or a directory stands for, sorted; none where nothing is there."""
    if is_glob(pattern):
        return sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if os.path.isdir(pattern):
        inside = (entry for entry in os.scandir(pattern) if not entry.name.startswith("."))
        return sorted(entry.path for entry in inside if entry.is_file())
    return [pattern] if os.path.exists(pattern) else []


def expand(patterns: Sequence[str]) -> list[str]:
    """All files that the patterns stand for, sorted, each once: under the first of its names, if it has several.

    `x`, `./x`, links to it and other names of the same inode are one file.
    """
    found: dict[tuple[int, int] | str, str] = {}
    for path in sorted({path for pattern in patterns for path in matching(pattern)}):
        found.setdefault(_identity(path), path)
    return list(found.values())


def _identity(path: str) -> tuple[int, int] | str:
    try:
        seen = os.stat(path)
    except OSError:  # gone since it was listed: said by whoever opens it
        return path
    return seen.st_dev, seen.st_ino


def problems(patterns: Sequence[str], *, may_be_empty: bool) -> list[str]:
    """What is wrong with the patterns, each in words that name it.

    `may_be_empty`: files may come later (follow), so a pattern that matches nothing yet is right.
    """
    if not patterns:
        return ["no path was given"]
    return [found for pattern in patterns if (found := _problem(pattern, may_be_empty))]


def _problem(pattern: str, may_be_empty: bool) -> str:
    if pattern == "":
        return "a path is empty"
    try:
        found = matching(pattern)
    except OSError as exc:
        return f"{pattern} cannot be listed: {exc.strerror}"
    if not found and not may_be_empty:
        return _nothing_there(pattern)
    unreadable = [path for path in found if not os.access(path, os.R_OK)]
    if unreadable:
        return f"{unreadable[0]} cannot be read: permission denied"
    odd = [path for path in found if not stat.S_ISREG(os.stat(path).st_mode)]
    if odd:
        return f"{odd[0]} is not a regular file"
    return ""


def _nothing_there(pattern: str) -> str:
    if is_glob(pattern):
        return f"{pattern} matches no file (in {working_directory()})"
    if os.path.isdir(pattern):
        return f"{pattern} contains no files"
    return f"{pattern} does not exist (in {working_directory()})"
