"""mpipe: a process per stage, over queues; lists of items made by hand.

    python bench/peers/mpipe_peer.py w1|w2 [--batch ITEMS]

The calling process feeds and drains, so it needs a thread to do both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any

import mpipe
from arguments import StopWatch, check_sums, parsed
from workloads import events, functions

arguments = parsed("unordered", workloads=("w1", "w2"))
watch = StopWatch()


def run(items: Iterable[Any], functions_of_stages: Sequence[Callable[[Any], Any]]) -> Iterator[Any]:
    stages = [mpipe.UnorderedStage(_for_each(each), 1, max_backlog=8) for each in functions_of_stages]
    for stage, behind in pairwise(stages):
        stage.link(behind)
    pipeline = mpipe.Pipeline(stages[0])

    def feed() -> None:
        for batch in arguments.batches(items):
            pipeline.put(batch)
        pipeline.put(None)

    threading.Thread(target=feed, daemon=True).start()
    return chain.from_iterable(pipeline.results())


def _for_each(function: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda rows: [function(row) for row in rows]


if arguments.workload == "w1":
    watch.start()
    count = total = 0
    for doubled in run(range(arguments.rows), [functions.double]):
        count += 1
        total += doubled
    watch.done(arguments.rows)
    check_sums(arguments.rows, count, total)
else:
    output = events.output("mpipe")
    events.whole_file()
    watch.start()
    stages = [functions.parse_and_normalise, functions.enrich, functions.score]
    with output.open("wb") as file:
        for visit in run(events.lines(arguments.rows), stages):
            file.write(functions.dump(visit) + b"\n")
    watch.done(arguments.rows, output=output, json=functions.JSON)
