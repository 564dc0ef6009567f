"""pypeln: `pl.process.map`, a process per stage, bounded queues.

    python bench/peers/pypeln_peer.py w1|w2|w4 [--batch ITEMS] [--workers N]

The sink is in the calling process. pypeln has no batches of its own: `--batch 1000` makes lists by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pypeln
from arguments import StopWatch, check_sums, parsed, tell_latency
from workloads import events, functions
from workloads.pacing import paced

arguments = parsed("staged")
watch = StopWatch()


def stage(function: Callable[[Any], Any], before: Any, workers: int = 1) -> Any:
    if not arguments.by_hand:
        return pypeln.process.map(function, before, workers=workers, maxsize=1000)
    return pypeln.process.map(lambda rows: [function(row) for row in rows], before, workers=workers, maxsize=8)


def source(items: Iterable[Any]) -> Iterable[Any]:
    return arguments.batches(items) if arguments.by_hand else items


def one_by_one(results: Iterable[Any]) -> Iterator[Any]:
    for result in results:
        if arguments.by_hand:
            yield from result
        else:
            yield result


def w1() -> None:
    watch.start()
    count = total = 0
    for doubled in one_by_one(stage(functions.double, source(range(arguments.rows)), arguments.workers)):
        count += 1
        total += doubled
    watch.done(arguments.rows)
    check_sums(arguments.rows, count, total)


def w2() -> None:
    output = events.output(f"pypeln-{arguments.batch}")
    events.whole_file()
    watch.start()
    visits = source(events.lines(arguments.rows))
    for function in (functions.parse_and_normalise, functions.enrich, functions.score):
        visits = stage(function, visits)
    with output.open("wb") as file:
        for visit in one_by_one(visits):
            file.write(functions.dump(visit) + b"\n")
    watch.done(arguments.rows, output=output, json=functions.JSON)


def w4() -> None:
    doubled = stage(lambda event: (event[0] * 2, event[1]), paced(arguments.rate, arguments.seconds))
    latencies = [time.monotonic_ns() - event[1] for event in doubled]
    tell_latency(latencies, int(arguments.rate * arguments.seconds))


if __name__ == "__main__":
    {"w1": w1, "w2": w2, "w4": w4}[arguments.workload]()
