"""What w2 can reach at most: the cost of each part of it per row, measured alone, and the rates that follow from it.

    python bench/limits.py [staged|fused]

Every core does the same at once, each in a process of its own, since cores share caches and power. The limit is that of
an engine that costs nothing: cores / (sum of all parts), and no stage faster than its own parts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from itertools import islice

import measure
import msgspec
from workloads import events, typed

ROWS = 4_000
"""Few, so that they stay in the cache, as the rows of a batch do."""
FRAME_ROWS = 1_000
REPEATS = 25
BLOCK_BYTES = 256 * 1024

FUSED = ("read blocks", "decode JSON lines", "normalise", "enrich", "score", "encode JSON lines", "write")
STAGES = (
    ("read blocks", "send blocks"),
    ("receive blocks", "decode JSON lines", "normalise", "encode visits", "send visits"),
    ("receive visits", "decode visits", "enrich", "encode visits", "send visits"),
    ("receive visits", "decode visits", "score", "encode JSON lines", "send lines"),
    ("receive lines", "write"),
)
"""What each of the five isolated stages has to do. Receiving: the copy and its checksum; sending too.

The last hop carries the lines that are written: the stage before a file of JSON lines encodes them.
"""


def parts() -> dict[str, float]:
    """Processor time per row of each part, in seconds."""
    blocks = _blocks()
    decode_lines, encoder = msgspec.json.Decoder(typed.Event).decode_lines, msgspec.json.Encoder()
    found = [event for block in blocks for event in decode_lines(block)]
    visits = _frames([typed.score(typed.enrich(typed.normalise(event))) for event in found])
    packer, unpack = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(list[typed.Visit]).decode
    packed = [packer.encode(frame) for frame in visits]
    written = [encoder.encode_lines(frame) for frame in visits]
    target = memoryview(bytearray(max(map(len, [*blocks, *packed, *written]))))
    each: dict[str, Callable[[], object]] = {
        "read blocks": _read,
        "send blocks": lambda: _send(blocks, target),
        "receive blocks": lambda: _receive(blocks, target),
        "decode JSON lines": lambda: [decode_lines(block) for block in blocks],
        "normalise": lambda: _over(typed.normalise, _frames(found)),
        "encode visits": lambda: [packer.encode(frame) for frame in visits],
        "send visits": lambda: _send(packed, target),
        "receive visits": lambda: _receive(packed, target),
        "decode visits": lambda: [unpack(frame) for frame in packed] and None,
        "send lines": lambda: _send(written, target),
        "receive lines": lambda: _receive(written, target),
        "enrich": lambda: _over(typed.enrich, visits),
        "score": lambda: _over(typed.score, visits),
        "encode JSON lines": lambda: [encoder.encode_lines(frame) for frame in visits],
        "write": lambda: _write(written),
    }
    return {name: _seconds(part) / ROWS for name, part in each.items()}


def on_all_cores() -> dict[str, float]:
    """The same while every core does it: the mean."""
    context = multiprocessing.get_context("fork")
    cores = len(os.sched_getaffinity(0))
    events.whole_file()
    with context.Pool(cores) as pool:
        several = [answer.get() for answer in [pool.apply_async(parts) for _ in range(cores)]]
    return {name: statistics.mean(found[name] for found in several) for name in several[0]}


def limit(seconds: dict[str, float], stages: Sequence[Sequence[str]], cores: int) -> float:
    """Rows per second of stages that have `cores` cores between them."""
    each = [sum(seconds[part] for part in stage) for stage in stages]
    return min(cores / sum(each), 1 / max(each)) if len(stages) > 1 else cores / sum(each)


def table(seconds: dict[str, float]) -> str:
    """The parts, and how often a row meets them."""
    met = [part for stage in STAGES for part in stage]
    lines = [
        [name, f"{1e6 * each:.3f}", FUSED.count(name), met.count(name), f"{1e6 * each * met.count(name):.3f}"]
        for name, each in seconds.items()
    ]
    sums = [sum(seconds[part] for part in FUSED), sum(seconds[part] for part in met)]
    lines.append(["together, fused", f"{1e6 * sums[0]:.3f}", "", "", ""])
    lines.append(["together, 5 stages", "", "", "", f"{1e6 * sums[1]:.3f}"])
    return measure.table(["part", "µs per row", "times, fused", "times, 5 stages", "µs per row, 5 stages"], lines)


def _blocks() -> list[bytes]:
    data = b"".join(islice(events.lines(), ROWS))
    found, start = [], 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BLOCK_BYTES) + 1
        found.append(data[start:end])
        start = end
    return found


def _frames(rows: Sequence[typed.Event | typed.Visit]) -> list[list[typed.Event | typed.Visit]]:
    return [list(rows[start : start + FRAME_ROWS]) for start in range(0, len(rows), FRAME_ROWS)]


def _over(function: Callable[[typed.Event | typed.Visit], object], frames: Sequence[Sequence[object]]) -> None:
    for frame in frames:
        [function(row) for row in frame]  # type: ignore[arg-type]


def _read() -> None:
    """As many bytes as the rows have."""
    left = sum(map(len, islice(events.lines(), FRAME_ROWS))) * ROWS // FRAME_ROWS
    with events.whole_file().open("rb", buffering=0) as file:
        while left > 0:
            left -= len(file.read(BLOCK_BYTES))


def _send(payloads: Sequence[bytes], target: memoryview) -> None:
    for payload in payloads:
        zlib.crc32(payload)
        target[: len(payload)] = payload


def _receive(payloads: Sequence[bytes], target: memoryview) -> None:
    for payload in payloads:
        zlib.crc32(bytes(target[: len(payload)]))


def _write(blocks: Sequence[bytes]) -> None:
    path = events.output(f"limits-{os.getpid()}")
    with path.open("wb", buffering=0) as file:
        for block in blocks:
            file.write(block)
    path.unlink()


def _seconds(part: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        part()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", choices=("staged", "fused"), nargs="?", default="staged")
    given = parser.parse_args()
    seconds, cores = on_all_cores(), len(os.sched_getaffinity(0))
    rows_s = round(limit(seconds, STAGES if given.shape == "staged" else [FUSED], cores))
    print(table(seconds))
    print(f"\n{cores} cores, {given.shape}: {rows_s:,} rows/s at most\n")
    measure.result(rows=ROWS, rows_s=rows_s, parts={name: round(each, 9) for name, each in seconds.items()})


if __name__ == "__main__":
    main()
