"""Run directories made by hand: the files that an engine would have written, for everything that only reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.channel import ring
from penstock.mapped_file import by_mapping
from penstock.metrics import layout
from penstock.metrics.catalogue import Activity, Word
from penstock.metrics.latency import bucket
from penstock.metrics.page import Page

SECOND_NS = 1_000_000_000
CONTROL_BYTES = 4096


class HandClock:
    """Time that passes only in `sleep`; what shall happen meanwhile happens there."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.on_sleep: Callable[[float], None] = lambda seconds: None

    def monotonic(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.on_sleep(seconds)


class HandmadeRun:
    """A run directory; declare stages and edges, `write` it, then change words."""

    def __init__(self, path: Path, clock: HandClock, pipeline: str = "clicks") -> None:
        self.path = path
        self.clock = clock
        self.pipeline = pipeline
        self.started_s = clock.wall()
        self._stages: list[layout.StageLayout] = []
        self._edges: list[layout.EdgeLayout] = []
        (path / "last_error").mkdir(parents=True)

    def stage(self, name: str, workers: int = 1, *, caller: bool = False, total: int | None = None) -> None:
        pages = [] if caller else [f"{name}.{slot}.page" for slot in range(workers)]
        for page in pages:
            Page.create(self.path / page)
        self._stages.append(layout.StageLayout(name, name, len(pages), pages, total, caller))

    def edge(self, sender: str, receiver: str, capacity: int = 1000, queues: int = 1) -> None:
        name = f"{sender}->{receiver}"
        files = [f"{name}.{index}.queue" for index in range(queues)]
        for file in files:
            (self.path / file).write_bytes(bytes(CONTROL_BYTES))
        self._edges.append(layout.EdgeLayout(name, sender, receiver, capacity, files))

    def write(self, phase: str = "running") -> None:
        (self.path / "phase").write_text(phase + "\n")
        whole = layout.Layout(self.pipeline, self.started_s, self._stages, self._edges)
        (self.path / "layout.json").write_bytes(layout.encode(whole))

    def set_words(self, stage: str, words: dict[Word, int], slot: int = 0) -> None:
        page = Page(self.path / f"{stage}.{slot}.page", by_mapping, writable=True)
        for word, value in words.items():
            page.words[word] = value
        page.close()

    def add(self, stage: str, words: dict[Word, int], slot: int = 0) -> None:
        page = Page(self.path / f"{stage}.{slot}.page", by_mapping, writable=True)
        for word, value in words.items():
            page.words[word] += value
        page.close()

    def spend(self, stage: str, slot: int = 0, *, busy: float = 0, idle: float = 0, blocked: float = 0) -> None:
        """Add seconds to a slot's three times."""
        times = {Word.BUSY_NS: busy, Word.INPUT_WAIT_NS: idle, Word.OUTPUT_WAIT_NS: blocked}
        self.add(stage, {word: int(seconds * SECOND_NS) for word, seconds in times.items()}, slot)

    def begin(self, stage: str, activity: Activity, slot: int = 0) -> None:
        since_ns = int(self.clock.monotonic() * SECOND_NS)
        self.set_words(stage, {Word.ACTIVITY: activity, Word.ACTIVITY_SINCE_NS: since_ns}, slot)

    def observe(self, stage: str, histogram: int, seconds: float, times: int = 1, slot: int = 0) -> None:
        """Count a duration so many times."""
        page = Page(self.path / f"{stage}.{slot}.page", by_mapping, writable=True)
        page.words[histogram + bucket(int(seconds * SECOND_NS))] += times
        page.close()

    def fill(self, edge: str, *, queued: int, rows: int = 0, read: int = 0, oldest_ns: int = 0, index: int = 0) -> None:
        """Let a queue hold `queued` bytes and `rows` rows, behind as many as were `read` before."""
        path = self.path / f"{edge}.{index}.queue"
        data = bytearray(path.read_bytes())
        words = memoryview(data).cast("Q")
        words[ring.W_HEAD], words[ring.W_HEAD_ROWS] = read * 10, read
        words[ring.W_TAIL], words[ring.W_TAIL_ROWS] = read * 10 + queued, read + rows
        words[ring.W_WAITING_SINCE] = oldest_ns
        words.release()
        path.write_bytes(data)
