"""PyFlink's DataStream API on a local mini-cluster; needs Java 17. Chaining fuses neighbouring functions into one.

    python bench/peers/flink_peer.py w1|w2 [--variant process|thread]

`process`: Python in a process beside the JVM; `thread`: inside it. `execute` builds the job and starts cluster and
Python workers: seconds that are in the figure.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import uuid
from pathlib import Path

from arguments import StopWatch, check_sums, parsed
from workloads import events, functions

# Thread mode starts the base interpreter, which knows neither the virtual environment nor these scripts.
HERE = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = os.pathsep.join([sysconfig.get_paths()["purelib"], str(HERE), str(HERE.parent)])

from pyflink.common import Configuration, Types, WatermarkStrategy  # noqa: E402
from pyflink.common.serialization import Encoder  # noqa: E402
from pyflink.datastream import StreamExecutionEnvironment  # noqa: E402
from pyflink.datastream.connectors.file_system import FileSink, FileSource, StreamFormat  # noqa: E402
from pyflink.datastream.connectors.number_seq import NumberSequenceSource  # noqa: E402
from pyflink.datastream.functions import MapFunction  # noqa: E402

arguments = parsed("process", "thread", workloads=("w1", "w2"))
watch = StopWatch()
settings = Configuration()
settings.set_string("python.execution-mode", arguments.variant)
settings.set_string("python.executable", sys.executable)
settings.set_string("taskmanager.memory.managed.size", "512mb")
environment = StreamExecutionEnvironment.get_execution_environment(settings)
environment.set_parallelism(1)
output = events.output(f"flink-{arguments.workload}-{arguments.variant}", "")


class Sums(MapFunction):
    """Counts and adds up; the sums go to a file when the operator is closed."""

    def open(self, context: object) -> None:
        self._count = self._sum = 0

    def map(self, doubled: int) -> int:
        self._count += 1
        self._sum += doubled
        return doubled

    def close(self) -> None:
        (output / f"sums-{uuid.uuid4().hex}").write_text(f"{self._count} {self._sum}")


def w1() -> None:
    numbers = environment.from_source(
        NumberSequenceSource(0, arguments.rows - 1), WatermarkStrategy.no_watermarks(), "ints", type_info=Types.LONG()
    )
    doubled = numbers.map(functions.double, output_type=Types.LONG()).map(Sums(), output_type=Types.LONG())
    doubled.filter(lambda _: False).print()
    watch.start()
    environment.execute("bench")
    watch.done(arguments.rows)
    found = [tuple(map(int, file.read_text().split())) for file in output.glob("sums-*")]
    check_sums(arguments.rows, sum(count for count, _ in found), sum(total for _, total in found))


def w2() -> None:
    path = str(events.first_lines(arguments.rows))
    source = FileSource.for_record_stream_format(StreamFormat.text_line_format(), path).build()
    rows = environment.from_source(source, WatermarkStrategy.no_watermarks(), "lines")
    for function in (functions.parse, functions.normalise, functions.enrich, functions.score):
        rows = rows.map(function, output_type=Types.PICKLED_BYTE_ARRAY())
    texts = rows.map(lambda visit: functions.dump(visit).decode(), output_type=Types.STRING())
    texts.sink_to(FileSink.for_row_format(str(output), Encoder.simple_string_encoder()).build())
    watch.start()
    environment.execute("bench")
    watch.done(arguments.rows, output=output, json=functions.JSON)


{"w1": w1, "w2": w2}[arguments.workload]()
