"""The pipelines that are simulated: drawn by a number, and what each must give, computed without any of the engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from zlib import crc32

from msgspec.structs import replace
from sim_endpoints import (
    JITTER,
    ByFlush,
    ByPosition,
    ByText,
    ByTransaction,
    Expands,
    Holds,
    KeyOf,
    Maps,
    MapsMany,
    Numbers,
    Passes,
    TimeOf,
)

import penstock as ps
from penstock.graph.graph import Where
from penstock.plan.plan import Plan

SHAPES = 200
"""So many different pipelines are drawn; what rows do, and what happens to workers, is drawn each time."""


@dataclass
class Stage:
    """A stage of the pipeline, for the computation of what it must give."""

    name: str
    verbs: list[str]
    after: list[str]
    """Of whom it gets rows."""
    retries: int = 0
    on_error: str = "dead_letter"
    trial: bool = False
    broadcast: bool = False
    refuses_early: bool = False
    """A sink whose senders find the rows that it refuses."""
    ordered: bool = False
    keyed: int = 0
    timeout: bool = False
    """A row that takes too long is set aside; without it, none hangs."""
    workers: int = 1
    holds: bool = False
    """Rows wait in it until their time has come."""


@dataclass(eq=False)
class Shape:
    """A pipeline."""

    number: int
    sources: dict[str, int] = field(default_factory=dict)
    """The first number of each."""
    stages: list[Stage] = field(default_factory=list)
    sinks: dict[str, Stage] = field(default_factory=dict)
    in_order: list[str] = field(default_factory=list)
    """Sinks whose rows come in the order of their source."""
    repeating: list[str] = field(default_factory=list)
    """Sinks that may be given rows more than once."""
    atomic: list[tuple[str, str]] = field(default_factory=list)
    """Sinks that must have been given the results of the same calls."""
    timed: bool = False
    idle_after: str | None = None
    """Rows may be late where inputs are set aside."""
    plan: Plan | None = None


@lru_cache(maxsize=SHAPES)
def shape(number: int) -> Shape:
    """One of them. The machine in use is asked for the source's rows when it runs, not here."""
    random = Random(number)
    made = Shape(number)
    app = ps.Pipeline(f"simulated-{number}")
    edge = ps.Edge(batch_rows=random.choice((2, 5, 64)), linger=random.choice(("0ms", "1ms", "5ms")))
    streams = []
    made.timed = random.random() < 0.4
    made.idle_after = random.choice((None, None, None, "2ms", "20ms"))
    for n in range(random.choice((1, 1, 1, 2))):
        workers = random.choice((1, 1, 2))
        name = f"source{n}"
        made.sources[name] = first = 1 + n * 1_000_000
        stream = app.source(Numbers(first, workers), name=name, workers=workers)
        if made.timed:
            stream = stream.event_time(TimeOf(0), disorder=JITTER / 1e6, idle_after=made.idle_after, unit="us")
        streams.append((stream, name, workers))
    _Drawn(made, random, edge).grow(streams)
    made.plan = _small(app.plan(), random)
    return made


def _small(plan: Plan, random: Random) -> Plan:
    """As many restarts as anybody can cause, and queues so small that rings wrap around often."""
    stages = {
        name: replace(stage, settings=replace(stage.settings, max_restarts=(1_000_000.0, 1.0)))
        for name, stage in plan.stages.items()
    }
    sizes = random.choice(((256, 384), (256, 512), (512, 768), (1024, 2048), (8192, 65536)))
    edges = tuple(replace(edge, channel_bytes=random.choice(sizes)) for edge in plan.edges)
    return replace(plan, stages=stages, edges=edges)


class _Drawn:
    def __init__(self, made: Shape, random: Random, edge: ps.Edge) -> None:
        self._made = made
        self._random = random
        self._edge = edge
        self._exact_order = len(made.sources) == 1
        self._expansions = 0

    def grow(self, streams: list) -> None:
        random = self._random
        stream, after, workers = streams[0]
        names = [after]
        in_order = len(streams) == 1 and workers == 1
        if len(streams) == 2:
            stream = stream.merge(streams[1][0])
            names.append(streams[1][1])
        for n in range(random.choice((0, 1, 1, 2, 2, 3))):
            ordered = in_order and random.random() < 0.3
            stream, in_order = self._stage(stream, f"stage{n}", names, in_order=in_order, ordered=ordered)
            names = [f"stage{n}"]
            if random.random() < 0.2:
                self._sinks(stream, names, in_order, 1)
        self._sinks(stream, names, in_order, random.choice((1, 1, 2)))

    def _stage(self, stream, name: str, after: list[str], *, in_order: bool, ordered: bool):
        random = self._random
        stage = Stage(name, [], after, workers=random.choice((1, 2, 2, 3)) if ordered else random.choice((1, 1, 2, 3)))
        stage.ordered = ordered
        stage.retries = random.choice((0, 0, 1, 2))
        stage.on_error = random.choice(("dead_letter", "dead_letter", "dead_letter", "skip", "fail"))
        stage.trial = stage.on_error == "dead_letter" and random.random() < 0.3
        policy = {"skip": ps.skip(), "fail": ps.fail()}.get(
            stage.on_error, ps.dead_letter() if stage.trial else ps.dead_letter(give_up_after=None)
        )
        stage.timeout = random.random() < 0.3
        opened = stream.stage(
            name, workers=stage.workers, edge=self._edge, retries=stage.retries, retry_delay="20ms", on_error=policy,
            ordered=ordered, timeout="100ms" if stage.timeout else None,
        )
        if not ordered and random.random() < 0.3:
            stage.keyed = random.choice((1, 3, 5))
            opened = opened.key_by(KeyOf(stage.keyed))
        elif not ordered and stage.workers > 1 and random.random() < 0.2:
            stage.broadcast = True
            opened = opened.broadcast()
        for _ in range(random.choice((1, 1, 2))):
            verb = "filter" if stage.verbs else random.choice(("map", "map", "flat_map", "map_many"))
            stage.verbs.append(verb)
            if verb == "map":
                opened = opened.map(Maps(name))
            elif verb == "map_many":
                wait = None if ordered else random.choice((None, "1ms", "20ms"))
                opened = opened.map_many(MapsMany(name), rows=random.choice((None, 3, 50)), wait=wait)
            elif verb == "flat_map":
                opened = opened.flat_map(Expands(name))
                self._expansions += 1
            else:
                opened = opened.filter(Passes(name))
        if self._made.timed and stage.keyed and random.random() < 0.8:
            stage.holds, in_order = True, False
            where = Where("sim_pipelines.py", 1)
            opened = opened._then(where, Holds(TimeOf(self._expansions), str(where), KeyOf(stage.keyed)))
        self._made.stages.append(stage)
        still = in_order and (ordered or (stage.workers == 1 and stage.retries == 0))
        return opened, still

    def _sinks(self, stream, after: list[str], in_order: bool, count: int) -> None:
        random = self._random
        names = []
        for _ in range(count):
            name = f"sink{len(self._made.sinks)}"
            database = random.choice((None, "db"))
            sink = random.choice((ByPosition(name), ByText(name), ByFlush(name), ByTransaction(name, database)))
            shares = isinstance(sink, ByTransaction) and database is not None
            workers = 1 if in_order or shares else random.choice((1, 1, 2))
            stream.sink(sink, edge=self._edge, workers=workers, on_error=ps.dead_letter(give_up_after=None))
            self._made.sinks[name] = Stage(name, [], after, workers=workers)
            self._made.sinks[name].refuses_early = isinstance(sink, ByText)
            if isinstance(sink, ByFlush):
                self._made.repeating.append(name)
            else:
                names.append(name)
            if in_order and workers == 1 and name in names:
                self._made.in_order.append(name)
        if len(names) == 2 and self._made.stages:
            self._made.atomic.append((names[0], names[1]))


# What rows do, and what must come of it.


class Fates:
    """What becomes of a row in a stage: a function of seed, stage and number, and of nothing else."""

    def __init__(
        self, seed: int, made: Shape, *, failing: float, flaky: float, killing: float, refusing: float
    ) -> None:
        self._seed = seed
        self._stages = {stage.name: stage for stage in made.stages}
        self._failing, self._flaky, self._killing, self._refusing = failing, flaky, killing, refusing
        self.fixed = False
        """True: where a row's failure ends the run, none fails any more."""
        self._known: dict[tuple[str, str, int], float] = {}

    def _drawn(self, what: str, stage: str, number: int) -> float:
        key = what, stage, number
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = crc32(f"{self._seed}/{what}/{stage}/{number}".encode()) / 2**32
        return found

    def kind(self, stage: str, number: int) -> str:
        """`kills`, `shot` (a SIGKILL that it brings about), `hangs`, `fails`, `flaky`; or nothing of that."""
        if self.fixed and self._stages[stage].on_error == "fail":
            return ""
        drawn = self._drawn("kind", stage, number)
        for kind, share in (
            ("kills", self._killing), ("shot", self._killing / 4), ("fails", self._failing), ("flaky", self._flaky)
        ):
            if drawn < share:
                if kind == "shot" and self._stages[stage].timeout:
                    return "hangs"
                return "" if kind == "flaky" and not self._stages[stage].retries else kind
            drawn -= share
        return ""

    def failures(self, stage: str, number: int) -> int:
        """How often a flaky row fails at first."""
        return 1 + int(self._drawn("often", stage, number) * self._stages[stage].retries)

    def passes(self, stage: str, number: int) -> bool:
        return self._drawn("passes", stage, number) < 0.7

    def expanded(self, stage: str, number: int) -> list[int]:
        """None, one or several numbers, all different from those that other rows give."""
        count = int(self._drawn("expanded", stage, number) * 4)
        return [number * 4 + copy for copy in range(count)]

    def refused(self, sink: str, number: int) -> bool:
        return self._drawn("refused", sink, number) < self._refusing


@dataclass
class Expected:
    """What must be there in the end, in any order."""

    sinks: dict[str, Counter[int]]
    letters: Counter[tuple[str, int]]
    skipped: Counter[str]
    taken: Counter[str]
    order: dict[str, list[int]]
    hopeless: bool
    """A stage in which no row would succeed: the run may fail, and rightly so."""


def expected(made: Shape, fates: Fates, given: dict[str, list[int]]) -> Expected:
    """By the numbers that the sources gave."""
    out: dict[str, list[int]] = dict(given)
    letters: Counter[tuple[str, int]] = Counter()
    skipped: Counter[str] = Counter()
    taken: Counter[str] = Counter({name: len(numbers) for name, numbers in given.items()})
    hopeless = False
    for stage in made.stages:
        numbers = [number for name in stage.after for number in out[name]]
        if stage.broadcast:
            numbers *= stage.workers
        taken[stage.name] = len(numbers)
        results: list[int] = []
        succeeded = 0
        for number in numbers:
            if fates.kind(stage.name, number) in ("kills", "shot", "hangs", "fails"):
                if stage.on_error == "skip":
                    skipped[stage.name] += 1
                else:
                    letters[stage.name, number] += 1
                continue
            succeeded += 1
            results += _through(stage, fates, number)
        hopeless = hopeless or (stage.trial and succeeded < len(numbers) and succeeded == 0)
        out[stage.name] = results
    sinks, order = {}, {}
    for name, sink in made.sinks.items():
        numbers = [number for one in sink.after for number in out[one]]
        order[name] = [number for number in numbers if not fates.refused(name, number)]
        sinks[name] = Counter(order[name])
        taken[name] = len(order[name] if sink.refuses_early else numbers)
        letters.update((name, number) for number in numbers if fates.refused(name, number))
    return Expected(sinks, letters, skipped, taken, order, hopeless)


def _through(stage: Stage, fates: Fates, number: int) -> list[int]:
    numbers = [number]
    for verb in stage.verbs:
        if verb == "flat_map":
            numbers = [result for one in numbers for result in fates.expanded(stage.name, one)]
        elif verb == "filter":
            numbers = [one for one in numbers if fates.passes(stage.name, one)]
    return numbers
