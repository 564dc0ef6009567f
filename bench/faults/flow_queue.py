"""`multiprocessing.Queue`, written as people write it: a process for each place, `None` for the end."""

from __future__ import annotations

import multiprocessing as mp
from typing import Any

from faults import trouble

WORKERS = 2


def source(out: Any) -> None:
    for number in trouble.numbers():
        out.put(number)
    for _ in range(WORKERS):
        out.put(None)


def stage(inp: Any, out: Any) -> None:
    while (number := inp.get()) is not None:
        out.put(trouble.work(number))
    out.put(None)


def fan(inp: Any, out: Any) -> None:
    left = WORKERS
    while left:
        number = inp.get()
        if number is None:
            left -= 1
            continue
        for value in trouble.fan(number):
            out.put(value)
    out.put(None)


def sink(inp: Any) -> None:
    lines = trouble.Lines()
    while (value := inp.get()) is not None:
        lines.put(value)


def main() -> None:
    numbers, worked, fanned = mp.Queue(1000), mp.Queue(1000), mp.Queue(1000)
    processes = [
        mp.Process(target=source, args=(numbers,)), mp.Process(target=fan, args=(worked, fanned)),
        mp.Process(target=sink, args=(fanned,)),
        *(mp.Process(target=stage, args=(numbers, worked)) for _ in range(WORKERS)),
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
