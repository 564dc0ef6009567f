"""One process, one thread, one loop: what the staged runs are compared with.

    python bench/peers/plain.py w1|w2|w3 [--variant VARIANT]

w1: `loop`. w2: `dicts`, a dict a row; `structs`, typed Structs, line by line; `blocks`, typed Structs, a block of
lines at a time; `stdlib`, dicts and the standard library's json. w3: typed Structs, a block of lines at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from arguments import StopWatch, check_sums, parsed
from workloads import events, functions

BLOCK_BYTES = 256 * 1024

arguments = parsed("dicts", "structs", "blocks", "stdlib", workloads=("w1", "w2", "w3"))
watch = StopWatch()


def w1() -> None:
    watch.start()
    count = total = 0
    for number in range(arguments.rows):
        doubled = number * 2
        count += 1
        total += doubled
    watch.done(arguments.rows)
    check_sums(arguments.rows, count, total)


def w2(write: Callable[[BinaryIO], Any]) -> None:
    output = events.output(f"plain-{arguments.variant}")
    events.whole_file()
    watch.start()
    with output.open("wb") as file:
        write(file)
    watch.done(arguments.rows, output=output, json=functions.JSON)


def dicts(file: BinaryIO) -> None:
    for line in events.lines(arguments.rows):
        file.write(functions.dump(functions.all_of_it(line)) + b"\n")


def stdlib(file: BinaryIO) -> None:
    for line in events.lines(arguments.rows):
        visit = functions.score(functions.enrich(functions.normalise(json.loads(line))))
        file.write(json.dumps(visit, separators=(",", ":")).encode() + b"\n")


def structs(file: BinaryIO) -> None:
    import msgspec
    from workloads.typed import Event, enrich, normalise, score

    decode, encode = msgspec.json.Decoder(Event).decode, msgspec.json.Encoder().encode
    for line in events.lines(arguments.rows):
        file.write(encode(score(enrich(normalise(decode(line))))) + b"\n")


def blocks(file: BinaryIO) -> None:
    import msgspec
    from workloads.typed import Event, enrich, normalise, score

    decode_lines, encode_lines = msgspec.json.Decoder(Event).decode_lines, msgspec.json.Encoder().encode_lines
    for block in _blocks(events.first_lines(arguments.rows)):
        file.write(encode_lines([score(enrich(normalise(event))) for event in decode_lines(block)]))


def w3(file: BinaryIO) -> None:
    import msgspec
    from workloads.windowed import Hit, in_blocks

    decode_lines, encode_lines = msgspec.json.Decoder(Hit).decode_lines, msgspec.json.Encoder().encode_lines
    for done in in_blocks(map(decode_lines, _blocks(events.first_lines(arguments.rows)))):
        file.write(encode_lines(done))


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, about 256 KiB of them at a time."""
    rest = b""
    with path.open("rb") as file:
        while read := file.read(BLOCK_BYTES):
            whole, end, rest_of_read = read.rpartition(b"\n")
            yield rest + whole + end
            rest = rest_of_read
    if rest:
        yield rest


if arguments.workload == "w1":
    w1()
elif arguments.workload == "w3":
    w2(w3)
else:
    w2({"dicts": dicts, "structs": structs, "blocks": blocks, "stdlib": stdlib}[arguments.variant])
