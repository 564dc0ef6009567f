"""Checks what the operator asks of the demo before anything starts: a mistake is told in his words, exit code 2."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from penstock.connectors import load
from penstock.errors import PenstockError


class WrongUsage(PenstockError, ValueError):
    """An option of the demo that cannot be followed: give another one."""


class NoFeeds(WrongUsage, FileNotFoundError):
    """The data folder holds nothing to read: give another one."""


@dataclass(frozen=True)
class Options:
    """What `penstock demo` is asked for."""

    data: Path | None = None
    """A folder with the feeds; None: the sample."""
    rate: str | None = None
    """Lines per second and feed, as "2000/s": the feeds then run live."""
    burst: str | None = None
    """The same, in bursts."""
    chaos: float | None = None
    """Kill a worker every so many seconds."""
    keep: Path | None = None
    """Where the databases and the dead letters stay; None: they are gone at the end."""
    seconds: float | None = None
    """How long a live run goes on; None: until Ctrl-C."""
    postgres: str | None = None
    """Where the tables of the windows are stored, too."""
    lose_machine: bool = False
    """Kill everything while the windows are computed, delete the memory, and resume."""


def check_usage(options: Options) -> None:
    """Raises `WrongUsage` for values that mean nothing, and for options that do not go together."""
    for option, lines in (("--rate", options.rate), ("--burst", options.burst)):
        if lines is not None:
            _check_rate(option, lines)
    if options.rate is None:
        for option, live in (("--burst", options.burst), ("--seconds", options.seconds)):
            if live is not None:
                raise WrongUsage(f"{option} is for a live run; give --rate, too")
    else:
        for option, given in (("--postgres", options.postgres is not None), ("--lose-machine", options.lose_machine)):
            if given:
                raise WrongUsage(f"{option} is for windows, which a live run does not compute; leave --rate out")
    for option, number in (("--chaos", options.chaos), ("--seconds", options.seconds)):
        if number is not None and not 0 < number < math.inf:
            raise WrongUsage(f"{option} {number:g} is no time in seconds; give a number above 0")
    if options.postgres is not None:
        _check_postgres(options.postgres)


def _check_postgres(dsn: str) -> None:
    import psycopg

    try:
        psycopg.connect(dsn, connect_timeout=10).close()
    except psycopg.Error as error:
        raise WrongUsage(f"--postgres: {' '.join(str(error).split())}; give another connection string") from error


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
