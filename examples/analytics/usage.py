"""Checks what the operator asks of the demo before anything starts: a mistake is told in his words, exit code 2."""

from __future__ import annotations

import math
import os
from pathlib import Path

from penstock.connectors import load
from penstock.errors import PenstockError


class WrongUsage(PenstockError, ValueError):
    """An option of the demo that cannot be followed: give another one."""


class NoFeeds(WrongUsage, FileNotFoundError):
    """The data folder holds nothing to read: give another one."""


def check_usage(rate: str | None, burst: str | None, chaos: float | None, seconds: float | None) -> None:
    """Raises `WrongUsage` for values that mean nothing, and for live options without `--rate`."""
    for option, lines in (("--rate", rate), ("--burst", burst)):
        if lines is not None:
            _check_rate(option, lines)
    for option, value in (("--burst", burst), ("--seconds", seconds)):
        if value is not None and rate is None:
            raise WrongUsage(f"{option} is for a live run; give --rate, too")
    for option, number in (("--chaos", chaos), ("--seconds", seconds)):
        if number is not None and not 0 < number < math.inf:
            raise WrongUsage(f"{option} {number:g} is no time in seconds; give a number above 0")


def _check_rate(option: str, lines: str) -> None:
    for problem in load.steady(lines).problems():
        raise WrongUsage(f"{option}: {problem}")


def make_folder(keep: Path) -> None:
    """The folder that shall keep database and dead letters; `WrongUsage` where it cannot be made or written."""
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUsage(f"--keep {keep} cannot be made ({error.strerror}); give another directory") from error
    if not os.access(keep, os.W_OK | os.X_OK):
        raise WrongUsage(f"--keep {keep} cannot be written to; give another directory")
