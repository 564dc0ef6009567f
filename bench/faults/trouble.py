"""The faults of the kill matrix, and the functions in which they happen. Imported by every flow, in every process.

Nothing but the standard library, since it runs in the environments of all systems. What to do comes by the
environment (`Orders`), as processes of all kinds inherit it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PLACES = ("source", "stage", "fan-out", "sink")
FAULTS = ("killed", "poison", "segfault", "exception", "hang", "slow", "memory", "main killed", "supervisor killed")
FROM_OUTSIDE = ("killed", "main killed", "supervisor killed")
"""Done by the script that watches; the others by the bad record."""
WHOLE_RUN = ("main killed", "supervisor killed")
"""What goes is no worker of a place; one cell is enough."""
SOURCE_S, STAGE_S = 0.001, 0.0005
"""What a record takes in the source, which is the slowest, and in a worker of the stage."""
TIMEOUT_S = 1.0
SLOW_S = 3.0
MEMORY_BYTES = 200 << 20


@dataclass(frozen=True)
class Orders:
    """What is to go wrong, and where."""

    folder: Path
    fault: str
    place: str
    rows: int
    memory_group: str
    """A cgroup with a limit, for workers that shall run out of memory; empty: none can be made."""

    @staticmethod
    def given() -> Orders:
        """The orders of this process."""
        env = os.environ
        return Orders(
            Path(env["BENCH_FOLDER"]), env["BENCH_FAULT"], env["BENCH_PLACE"], int(env["BENCH_ROWS"]),
            env["BENCH_MEMORY_GROUP"],
        )

    def environment(self) -> dict[str, str]:
        """The orders, for a child."""
        return {
            "BENCH_FOLDER": str(self.folder), "BENCH_FAULT": self.fault, "BENCH_PLACE": self.place,
            "BENCH_ROWS": str(self.rows), "BENCH_MEMORY_GROUP": self.memory_group,
        }

    @property
    def bad(self) -> int:
        """The number of the bad record."""
        return self.rows // 4

    @property
    def bad_values(self) -> set[int]:
        """What the sink need not have, where the bad record is set aside."""
        if self.fault in FROM_OUTSIDE or self.place == "source":
            return set()
        return {2 * self.bad} if self.place == "sink" else {2 * self.bad, 2 * self.bad + 1}


_here: set[str] = set()


def numbers() -> Iterator[int]:
    """The source."""
    orders = Orders.given()
    for number in range(orders.rows):
        time.sleep(SOURCE_S)
        yield read(number)


def read(number: int) -> int:
    """What a source does with each record."""
    _meet("source", number)
    return number


def work(number: int) -> int:
    """The stateless stage: 0.5 ms, and the number is handed on."""
    _meet("stage", number)
    time.sleep(STAGE_S)
    return number


def fan(number: int) -> list[int]:
    """The fan-out: two for one."""
    _meet("fan-out", number)
    return [2 * number, 2 * number + 1]


def arrive(value: int) -> int:
    """The function of the sink stage."""
    _meet("sink", value, scale=2)
    return value


class Lines:
    """The sink of the peers: a line for each value, at once in the file; one file for each process."""

    def __init__(self) -> None:
        self._file = (Orders.given().folder / f"sink-{os.getpid()}.txt").open("a", buffering=1)

    def put(self, value: int) -> None:
        self._file.write(f"{arrive(value)}\n")


def _meet(place: str, number: int, scale: int = 1) -> None:
    """Called with every record: notes who works here, and is where the bad record does what it does."""
    if place not in _here:
        _here.add(place)
        (Orders.given().folder / f"worker-{place}-{os.getpid()}").touch()
    orders = _orders()
    if place == orders.place and number == scale * orders.bad and orders.fault not in ("none", *FROM_OUTSIDE):
        (orders.folder / "fault").open("a").write(f"{time.monotonic()}\n")
        _misbehave(orders, number)


_known: list[Orders] = []


def _orders() -> Orders:
    if not _known:
        _known.append(Orders.given())
    return _known[0]


def _misbehave(orders: Orders, number: int) -> None:
    match orders.fault:
        case "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "exception":
            raise ValueError(f"record {number} is bad")
        case "slow":
            time.sleep(SLOW_S)
        case "hang":
            _hang()
        case "memory":
            _eat(orders)


def _hang() -> None:
    """For ever, and whatever is raised in here is not noticed: as in C code that does not look."""
    while True:
        try:
            while True:
                time.sleep(0.05)
        except BaseException:
            continue


def _eat(orders: Orders) -> None:
    """Until the kernel kills; where no limit can be set, what it would do is done at the limit."""
    if orders.memory_group:
        Path(orders.memory_group, "cgroup.procs").write_text(str(os.getpid()))
    eaten = []
    while orders.memory_group or len(eaten) << 20 < MEMORY_BYTES:
        eaten.append(b"\xff" * (1 << 20))
    os.kill(os.getpid(), signal.SIGKILL)
