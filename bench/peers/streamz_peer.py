"""streamz: one process, each `emit` runs the whole chain.

    python bench/peers/streamz_peer.py w1|w2|w4
"""

from __future__ import annotations

import time
from typing import Any

from arguments import StopWatch, check_sums, parsed, tell_latency
from streamz import Stream
from workloads import events, functions
from workloads.pacing import paced

arguments = parsed("emit")
watch = StopWatch()
source = Stream()


def w1() -> None:
    sums = [0, 0]

    def add(doubled: int) -> None:
        sums[0] += 1
        sums[1] += doubled

    source.map(functions.double).sink(add)
    watch.start()
    for number in range(arguments.rows):
        source.emit(number)
    watch.done(arguments.rows)
    check_sums(arguments.rows, *sums)


def w2() -> None:
    output = events.output("streamz")
    events.whole_file()
    watch.start()
    with output.open("wb") as file:

        def write(visit: dict[str, Any]) -> None:
            file.write(functions.dump(visit) + b"\n")

        parsed_lines = source.map(functions.parse).map(functions.normalise)
        parsed_lines.map(functions.enrich).map(functions.score).sink(write)
        for line in events.lines(arguments.rows):
            source.emit(line)
    watch.done(arguments.rows, output=output, json=functions.JSON)


def w4() -> None:
    latencies: list[int] = []
    source.map(lambda event: (event[0] * 2, event[1])).sink(
        lambda event: latencies.append(time.monotonic_ns() - event[1])
    )
    for event in paced(arguments.rate, arguments.seconds):
        source.emit(event)
    tell_latency(latencies, int(arguments.rate * arguments.seconds))


{"w1": w1, "w2": w2, "w4": w4}[arguments.workload]()
