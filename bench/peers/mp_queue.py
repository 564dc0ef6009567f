"""`multiprocessing.Queue` by hand: a process per stage, bounded queues, None at the end. What one writes otherwise.

    python bench/peers/mp_queue.py w1|w2|w4 [--variant VARIANT] [--batch ITEMS] [--workers N]

`--batch 1000` puts lists of so many items into the queues; 1 puts them one by one. w2 `staged`: ingest, parse and
normalise, enrich, score, store, five processes; `fused`: ingest, `--workers` processes that do everything, store.
`structs`: as `staged`, on typed Structs, which queues pickle.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from arguments import check_sums, parsed, result, tell_latency
from workloads import events, functions
from workloads.pacing import paced

MESSAGES_ONE_BY_ONE = 1000
MESSAGES_OF_LISTS = 8

mp = multiprocessing.get_context("fork")
arguments = parsed("staged", "fused", "structs")
script_began = time.monotonic()


def for_each(function: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    """The form of a function that takes lists."""
    return lambda rows: [function(row) for row in rows]


def run(
    items: Iterable[Any], stages: Sequence[tuple[Callable[[Any], Any], int]], sink: Callable[[Callable[[], Any]], Any]
) -> tuple[Any, float]:
    """What `sink(get)` gave in its process, and the seconds from the first item to its end."""
    if arguments.by_hand:
        items = arguments.batches(items)
        stages = [(for_each(function), workers) for function, workers in stages]
    queues = [mp.Queue(MESSAGES_OF_LISTS if arguments.by_hand else MESSAGES_ONE_BY_ONE) for _ in range(len(stages) + 1)]
    answers = mp.SimpleQueue()
    processes = [
        mp.Process(target=_work, args=(function, queues[at], queues[at + 1]))
        for at, (function, workers) in enumerate(stages)
        for _ in range(workers)
    ]
    processes.append(mp.Process(target=_end, args=(sink, queues[-1], stages[-1][1], answers)))
    processes.append(mp.Process(target=_begin, args=(items, queues[0], stages[0][1], answers)))
    for process in processes:
        process.start()
    told = dict(answers.get() for _ in range(2))
    for process in processes:
        process.join()
    found, ended = told["ended"]
    return found, ended - told["began"]


def _begin(items: Iterable[Any], queue: Any, receivers: int, answers: Any) -> None:
    answers.put(("began", time.monotonic()))
    for item in items:
        queue.put(item)
    for _ in range(receivers):
        queue.put(None)


def _work(function: Callable[[Any], Any], queue: Any, behind: Any) -> None:
    # Every worker passes a None on, and the sink counts them: another's queue thread may still hold an item.
    while (item := queue.get()) is not None:
        behind.put(function(item))
    behind.put(None)


def _end(sink: Callable[[Callable[[], Any]], Any], queue: Any, senders: int, answers: Any) -> None:
    ends = 0

    def get() -> Any:
        nonlocal ends
        while (item := queue.get()) is None:
            ends += 1
            if ends == senders:
                return None
        return item

    found = sink(get)
    answers.put(("ended", (found, time.monotonic())))


def tell(rows: int, steady_s: float, output: Path | None = None) -> None:
    where = {} if output is None else {"output": str(output), "json": functions.JSON}
    total_s = round(time.monotonic() - script_began, 3)
    result(rows=rows, steady_s=round(steady_s, 4), rows_s=round(rows / steady_s), total_s=total_s, **where)


def w1() -> None:
    def add_up(get: Callable[[], Any]) -> tuple[int, int]:
        count = total = 0
        while (item := get()) is not None:
            for doubled in item if arguments.by_hand else (item,):
                count += 1
                total += doubled
        return count, total

    sums, steady_s = run(range(arguments.rows), [(functions.double, arguments.workers)], add_up)
    check_sums(arguments.rows, *sums)
    tell(arguments.rows, steady_s)


def w2(variant: str) -> None:
    stages: list[tuple[Callable[[Any], Any], int]]
    dump = functions.dump
    if variant == "fused":
        stages = [(functions.all_of_it, arguments.workers)]
    elif variant == "staged":
        stages = [(functions.parse_and_normalise, 1), (functions.enrich, 1), (functions.score, 1)]
    else:
        import msgspec
        from workloads import typed

        decode, dump = msgspec.json.Decoder(typed.Event).decode, msgspec.json.Encoder().encode
        stages = [(lambda line: typed.normalise(decode(line)), 1), (typed.enrich, 1), (typed.score, 1)]
    output = events.output(f"mp-queue-{variant}-{arguments.batch}")
    events.whole_file()
    rows, steady_s = run(events.lines(arguments.rows), stages, partial(_store, output, dump))
    tell(rows, steady_s, output)


def _store(output: Path, dump: Callable[[Any], bytes], get: Callable[[], Any]) -> int:
    rows = 0
    with output.open("wb") as file:
        while (item := get()) is not None:
            for visit in item if arguments.by_hand else (item,):
                file.write(dump(visit) + b"\n")
                rows += 1
    return rows


def w4() -> None:
    def look_at_the_clock(get: Callable[[], Any]) -> list[int]:
        latencies = []
        while (event := get()) is not None:
            latencies.append(time.monotonic_ns() - event[1])
        return latencies

    latencies, _ = run(paced(arguments.rate, arguments.seconds), [(_doubled, 1)], look_at_the_clock)
    tell_latency(latencies, int(arguments.rate * arguments.seconds))


def _doubled(event: tuple[int, int]) -> tuple[int, int]:
    return event[0] * 2, event[1]


if arguments.workload == "w2":
    w2(arguments.variant)
else:
    {"w1": w1, "w4": w4}[arguments.workload]()
