"""Apache Beam's DirectRunner, in memory, in one process.

    python bench/peers/beam_peer.py w1|w2

It is meant for tests, so the counts are small.
"""

from __future__ import annotations

import logging

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from arguments import StopWatch, check_sums, parsed
from workloads import events, functions

arguments = parsed("memory", workloads=("w1", "w2"))
watch = StopWatch()
logging.disable(logging.WARNING)
pipeline = beam.Pipeline(options=PipelineOptions(["--runner=DirectRunner"]))


def w1() -> None:
    output = events.output("beam-sums", "")
    rows = arguments.rows
    numbers = pipeline | beam.Create([0]) | beam.FlatMap(lambda _: range(rows)) | beam.Reshuffle()
    doubled = numbers | beam.Map(functions.double)
    count = doubled | "count" >> beam.combiners.Count.Globally()
    total = doubled | "sum" >> beam.CombineGlobally(sum)
    (count, total) | beam.Flatten() | beam.io.WriteToText(str(output / "sums"), num_shards=1)
    watch.start()
    pipeline.run().wait_until_finish()
    watch.done(arguments.rows)
    check_sums(arguments.rows, *sorted(int(line) for file in output.iterdir() for line in file.open()))


def w2() -> None:
    output = events.output("beam", "")
    rows = pipeline | beam.io.ReadFromText(str(events.first_lines(arguments.rows)))
    for function in (functions.parse, functions.normalise, functions.enrich, functions.score):
        rows = rows | function.__name__ >> beam.Map(function)
    lines = rows | "dump" >> beam.Map(lambda visit: functions.dump(visit).decode())
    lines | beam.io.WriteToText(str(output / "part"))
    watch.start()
    pipeline.run().wait_until_finish()
    watch.done(arguments.rows, output=output, json=functions.JSON)


{"w1": w1, "w2": w2}[arguments.workload]()
