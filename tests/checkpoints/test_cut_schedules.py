"""Cuts of random graphs under random schedules: every row is in one place, and in the wrong order it is not."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec

from penstock.checkpoints.consistent import Inconsistent, backlogs
from penstock.checkpoints.reopen import cut_short, reopen
from penstock.checkpoints.run_shape import RunShape, shape_of
from penstock.metrics.layout import EdgeLayout, Layout, StageLayout
from penstock.slot.records.record import InputRecord, OutputRecord, Record, SplitRecord, StageRecord


class Model:
    """Slots that commit, publish and read each other's rows; one byte of a queue is one row."""

    def __init__(self, random: Random) -> None:
        self.random = random
        layers = [[f"s{depth}{n}" for n in range(random.choice((1, 1, 2)))] for depth in range(random.randint(2, 4))]
        names = [name for layer in layers for name in layer]
        workers = {name: random.choice((1, 2, 3)) for name in names}
        edges = [
            (one, random.choice(behind)) for layer, behind in pairwise(layers) for one in layer
        ]
        self.layout = Layout("model", 0.0, [StageLayout(name, name, workers[name]) for name in names], [
            EdgeLayout(f"{a}->{b}", a, b, 0, [
                f"queues/{a}->{b}.{i}-{j}" for i in range(workers[a]) for j in range(workers[b])
            ])
            for a, b in edges
        ])
        self.shape: RunShape = shape_of(self.layout)
        self.records = [Record(stages=[StageRecord()]) for _ in self.shape.slots]
        self.published = {channel.name: 0 for channel in self.shape.channels}
        for channel in self.shape.channels:
            self.records[channel.sender].stages[0].outputs[channel.name] = OutputRecord()
            self.records[channel.receiver].stages[0].inputs[channel.name] = InputRecord()
        self.begun = [0] * len(self.records)
        """Rows that a source has read, and that a sink has written."""

    def step(self) -> None:
        """A slot commits, and publishes now or later."""
        place = self.random.randrange(len(self.records))
        stage = self.records[place].stages[0]
        count = 0
        for name, taken in stage.inputs.items():
            count += (more := self.random.randint(0, self.published[name] - taken.head))
            taken.head, taken.rows = taken.head + more, taken.rows + more
        if not stage.inputs:
            count = self.random.randint(0, 5)
        if not stage.inputs or not stage.outputs:
            self.begun[place] += count
            stage.counts.rows_in += count
        outputs = list(stage.outputs.values())
        for _ in range(count if outputs else 0):
            given = self.random.choice(outputs)
            given.tail, given.rows = given.tail + 1, given.rows + 1
        if self.random.random() < 0.7:
            self.publish(place)

    def publish(self, place: int) -> None:
        for name, given in self.records[place].stages[0].outputs.items():
            self.published[name] = given.tail

    def cut(self, *, upstream_first: bool = False) -> list[Record]:
        """The records, read one after the other while slots go on."""
        places = list(range(len(self.records)))
        read: dict[int, Record] = {}
        for place in reversed(places) if upstream_first else places:
            for _ in range(self.random.randint(0, 6)):
                self.step()
            read[place] = msgspec.msgpack.decode(msgspec.msgpack.encode(self.records[place]), type=Record)
        return [read[place] for place in places]


def _check(model: Model, records: list[Record]) -> None:
    """Rows that sources have read are in queues or in sinks. Raises `Inconsistent`."""
    waiting = sum(backlog.tail - backlog.head for backlog in backlogs(model.shape, records))
    read = sum(r.stages[0].counts.rows_in for r in records if not r.stages[0].inputs and r.stages[0].outputs)
    written = sum(r.stages[0].counts.rows_in for r in records if r.stages[0].inputs and not r.stages[0].outputs)
    assert read == waiting + written


def test_a_cut_that_is_read_downstream_first_has_every_row_in_one_place() -> None:
    for seed in range(300):
        model = Model(Random(seed))
        for _ in range(40):
            model.step()
        _check(model, model.cut())


def test_records_that_are_read_upstream_first_are_found_out() -> None:
    found = 0
    for seed in range(300):
        model = Model(Random(seed))
        for _ in range(40):
            model.step()
        try:
            _check(model, model.cut(upstream_first=True))
        except Inconsistent:
            found += 1
    assert found > 50


def test_what_was_cut_short_goes_on_and_what_was_read_to_its_end_does_not() -> None:
    layout = Layout("two", 0.0, [StageLayout(name, name, 1) for name in ("a", "b", "c", "d")], [
        EdgeLayout("a->c", "a", "c", 0, ["queues/a->c.0-0"]), EdgeLayout("b->d", "b", "d", 0, ["queues/b->d.0-0"]),
    ])
    shape = shape_of(layout)
    ended = {
        "a": StageRecord(outputs={"a->c.0-0": OutputRecord()}, splits={"x": SplitRecord(done=False)}, finished=True),
        "b": StageRecord(outputs={"b->d.0-0": OutputRecord()}, splits={"x": SplitRecord(done=True)}, finished=True),
        "c": StageRecord(inputs={"a->c.0-0": InputRecord(ended=True)}, finished=True),
        "d": StageRecord(inputs={"b->d.0-0": InputRecord(ended=True)}, finished=True),
    }
    records = [Record(stages=[ended[slot.group]]) for slot in shape.slots]
    assert cut_short(shape, records, ()) == {"a", "c"}
    assert cut_short(shape, records, ("b",)) == {"a", "b", "c", "d"}
    reopen(shape, records, {"a->c.0-0": b"", "b->d.0-0": b""}, ())
    assert [ended[name].finished for name in "abcd"] == [False, True, False, True]
    assert not ended["c"].inputs["a->c.0-0"].ended
    assert ended["d"].inputs["b->d.0-0"].ended
