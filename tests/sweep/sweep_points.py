"""Which points are swept, and the process that sweeps them.

Ways to die, each for every n up to the longest life that was seen:

- `once`: one worker dies before its n-th effect, and the other workers of its copy live. Copies beside it in the same
  run have their own n; what they have in common are supervisor and zygote.
- `twice`: a worker dies somewhere in the last three fifths of its life, and its successor before its n-th effect: most
  of those points lie in the recovery.
- `all`: each of the four workers of a copy dies once, at points of its own.
- `supervisor`, `zygote`: a run of its own for each n; the next `run` takes over, or the zygote is replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from sweep_pipeline import STAGES
from sweep_run import Request, Swept

COPIES = 12
_NEVER = 1 << 40
_STRIDES = {"source": 89, "middle": 97, "fan": 101, "sink": 103}
"""By which the points of one copy are taken apart; primes, so that all are met in time."""


class Sweeper:
    """A process that makes one run after the other; a context manager."""

    def __init__(self, base: Path) -> None:
        program = Path(__file__).with_name("sweep_run.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )

    def sweep(self, request: Request) -> Swept:
        """Make a run. Raises `EOFError` when the process has died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise EOFError(f"the sweeper died of {request}")
        return Swept(**json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()


def to_measure(role: str, *, database: bool = False) -> Request:
    """A run in which nobody dies, and the effects of `role` are counted."""
    if role in STAGES:
        return Request(1, database, {f"{role}-0": _NEVER})
    return Request(1, supervisor=_NEVER) if role == "supervisor" else Request(1, zygote=_NEVER)


def once(role: str, points: Iterable[int], *, database: bool = False) -> Iterator[Request]:
    for gang in _gangs(points):
        yield Request(len(gang), database, {f"{role}-{copy}": point for copy, point in enumerate(gang)})


def twice(role: str, points: Iterable[int], longest: int, *, database: bool = False) -> Iterator[Request]:
    """`longest`: effects of the longest life."""
    early = 2 * longest // 5
    for gang in _gangs(points):
        first = {
            f"{role}-{copy}": early + point * _STRIDES[role] % (longest - early) for copy, point in enumerate(gang)
        }
        yield Request(len(gang), database, first, gang)


def all_at_once(points: Iterable[int], longest: int, *, database: bool = False) -> Iterator[Request]:
    for gang in _gangs(points):
        first = {
            f"{role}-{copy}": point * stride % longest + 1
            for copy, point in enumerate(gang) for role, stride in _STRIDES.items()
        }
        yield Request(len(gang), database, first)


def of_supervisor(points: Iterable[int]) -> Iterator[Request]:
    return (Request(1, supervisor=point) for point in points)


def of_zygote(points: Iterable[int]) -> Iterator[Request]:
    return (Request(1, zygote=point) for point in points)


def _gangs(points: Iterable[int]) -> Iterator[Sequence[int]]:
    rest = iter(points)
    while gang := list(islice(rest, COPIES)):
        yield gang
