"""`multiprocessing.Pool.imap` with a chunk size: what many reach for first.

    python bench/peers/mp_pool.py w1|w2 [--batch ITEMS] [--workers N]

Source and sink are in the calling process. Its thread reads the source as fast as it can: there is no backpressure.
"""

from __future__ import annotations

import multiprocessing

from arguments import StopWatch, check_sums, parsed
from workloads import events, functions

arguments = parsed("imap", workloads=("w1", "w2"), workers=2)
watch = StopWatch()

with multiprocessing.get_context("fork").Pool(arguments.workers) as pool:
    if arguments.workload == "w1":
        watch.start()
        count = total = 0
        for doubled in pool.imap(functions.double, range(arguments.rows), chunksize=arguments.batch):
            count += 1
            total += doubled
        watch.done(arguments.rows)
        check_sums(arguments.rows, count, total)
    else:
        output = events.output("mp-pool")
        events.whole_file()
        watch.start()
        with output.open("wb") as file:
            for visit in pool.imap(functions.all_of_it, events.lines(arguments.rows), chunksize=arguments.batch):
                file.write(functions.dump(visit) + b"\n")
        watch.done(arguments.rows, output=output, json=functions.JSON)
