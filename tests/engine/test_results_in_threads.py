"""Rows of a pipeline iterated by several threads: each row reaches one of them, and closing ends them all."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import penstock as ps


def endless() -> Iterator[int]:
    yield from itertools.count()


def silent() -> Iterator[int]:
    yield 0
    time.sleep(3600)
    yield 1


def test_threads_that_share_an_iterator_get_every_row_once() -> None:
    rows = ps.Pipeline("shared").source(range(20_000), name="numbers").stage("work", workers=2).map(int).results()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # in the midst of whatever there is
    try:
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: list(rows), range(4)))
    finally:
        sys.setswitchinterval(usual)
    assert sorted(itertools.chain(*got)) == list(range(20_000))


def test_closing_ends_a_thread_that_waits_for_a_row() -> None:
    rows = ps.Pipeline("waits").source(silent, name="numbers").stage("work").map(int).results()
    got: list[int] = []
    first = threading.Event()

    def read() -> None:
        for row in rows:
            got.append(row)
            first.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(60)
    rows.close()
    reader.join(60)
    assert not reader.is_alive() and got == [0]


def test_closing_in_the_midst_of_reading_ends_all_readers() -> None:
    rows = ps.Pipeline("midst").source(endless, name="numbers").stage("work").map(int).results()
    with ThreadPoolExecutor(3) as pool:
        started = threading.Barrier(4)

        def read() -> list[int]:
            got = [next(rows)]
            started.wait(60)
            got.extend(rows)
            return got

        readers = [pool.submit(read) for _ in range(3)]
        started.wait(60)
        rows.close()
        got = [row for reader in readers for row in reader.result(60)]
    assert len(got) == len(set(got))
