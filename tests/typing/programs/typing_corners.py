"""Corners of inference."""
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeGuard, reveal_type

import msgspec

import penstock as ps
from penstock.connectors import files, load
from penstock.testing import ListSink


class A(msgspec.Struct, tag=True):
    x: int

class B(msgspec.Struct, tag=True):
    y: str

def is_a(v: A | B) -> TypeGuard[A]:
    return isinstance(v, A)

async def later(x: int, *, n: int = 1) -> str:
    return str(x)

def add(k: int, x: int) -> float:
    return k + x

def words(line: str) -> Iterator[str]:
    yield from line.split()

def numbers() -> Iterator[int]:
    yield 1

class Counter:
    def __init__(self) -> None:
        self.n = 0

    def __call__(self, row: int) -> bool:
        return True

app = ps.Pipeline("corners")
n = app.source(numbers)
reveal_type(n)  # Stream[int]
reveal_type(app.source(lambda: iter([1.5])))  # Stream[float]
reveal_type(n.map(str))  # Stream[str]
reveal_type(n.map(str).map(Path))  # Stream[pathlib.Path]
reveal_type(n.map(partial(add, 1)))  # Stream[float]
reveal_type(n.map(partial(later, n=2)))  # Stream[str]
reveal_type(n.filter(Counter))  # Stream[int]
reveal_type(n.map(Counter()))  # Stream[bool]
lines = app.source(files.lines("x"))
reveal_type(lines.flat_map(words))  # Stream[str]
reveal_type(lines.flat_map(str.split))  # Stream[str]
reveal_type(lines.map(json.loads))  # Stream[Any]
reveal_type(lines.parse_json().map(lambda d: d["x"]))  # Stream[Any]
reveal_type(lines.parse_json().map(lambda d: A(d["x"])))  # Stream[A]
ab: ps.Stream[A | B] = lines.parse_json(A | B)
reveal_type(ab.filter(is_a))  # Stream[A]
reveal_type(lines.parse_json(list[int]))  # Stream[list[int]]
reveal_type(n.map_many(lambda rows: [r * 1.5 for r in rows]))  # Stream[float]
reveal_type(n.key_by(lambda x: x % 7))  # KeyedStream[int, int]
reveal_type(n.stage("x").key_by(lambda x: x % 7).map(lambda x: {"a": x}))  # Stream[dict[str, int]]
reveal_type(n.event_time(lambda x: x, disorder="5s", unit="ms"))  # Stream[int]
reveal_type(n.stage("y").key_by(lambda x: x % 7).event_time(lambda x: float(x)))  # KeyedStream[int, int]
reveal_type(n.merge(lines, lines.map(len)))  # Stream[int | str]
out = ListSink[int]()
n.sink(out)
n.sink(lambda x: print(x), name="show")
reveal_type(app.source(load.generate(lambda i, rng: A(rng.randrange(i)), load.steady("5000/s"))))  # Stream[A]
wide: ps.Stream[A | B] = lines.parse_json(A)      # covariant: a Stream[A] is a Stream[A | B]
