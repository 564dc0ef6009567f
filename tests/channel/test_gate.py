"""Gates: nobody starves, and behind ordered stages turns come in order on every schedule, without a dead end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.channel.gate import EdgeGate, Gate

CAPACITY = 4
MOST_FRAMES = 3


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), max_size=60))
def test_no_input_that_waits_is_passed_over_by_another_twice(schedule: list[list[bool]]) -> None:
    gate = Gate([EdgeGate(range(2)), EdgeGate(range(2, 4))], 4)
    passed_over = [[0] * 4 for _ in range(4)]
    for waiting in schedule:
        chosen = gate.choose(waiting, [False] * 4)
        assert (chosen is None) == (not any(waiting))
        if chosen is None:
            continue
        assert waiting[chosen]
        for other in range(4):
            if other == chosen or not waiting[other]:
                passed_over[other] = [0] * 4
            else:
                passed_over[other][chosen] += 1
                assert passed_over[other][chosen] <= 1


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_an_input_that_has_ended_is_never_chosen(waiting: list[bool], ended: list[bool]) -> None:
    chosen = Gate([EdgeGate(range(3))], 3).choose(waiting, ended)
    assert chosen is None or (waiting[chosen] and not ended[chosen])


# A simulated ordered pipeline: dealt by turns, worked in parallel, merged by turns; queues hold a few frames only.


@dataclass(frozen=True)
class Piece:
    """A frame: some rows of a turn, or the end of everything."""

    turn: int
    rows: tuple[int, ...] = ()
    end_turn: bool = False
    end: bool = False


Queue = deque[Piece]
Spread = Callable[[int, int], list[int]]
"""(row, receivers) to the receivers of the row."""


@dataclass
class Actor:
    """One slot. It takes a frame when it may, and gives out when all its receivers have room."""

    random: Random
    inputs: list[Queue]
    outputs: list[Queue]
    gate: Gate | None = None
    deals: bool = False
    pending: list[tuple[int, Piece]] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)
    got: list[int] = field(default_factory=list)
    finished: bool = False
    source: Iterator[Piece] | None = None

    def step(self) -> bool:
        """False: it can do nothing now."""
        if self.pending:
            return self._push()
        if self.finished:
            return False
        piece = self._take()
        if piece is None:
            return False
        self._work(piece)
        return True

    def _push(self) -> bool:
        """All of it or nothing: a turn is given out by one commit."""
        wanted = [queue for queue, _ in self.pending]
        if any(len(self.outputs[q]) + wanted.count(q) > CAPACITY for q in set(wanted)):
            return False
        for queue, piece in self.pending:
            self.outputs[queue].append(piece)
        self.pending.clear()
        return True

    def _take(self) -> Piece | None:
        if self.source is not None:
            return next(self.source, Piece(0, end=True))
        assert self.gate is not None
        index = self.gate.choose([bool(queue) for queue in self.inputs], self.ended)
        if index is None:
            return None
        piece = self.inputs[index].popleft()
        if piece.end:
            self.ended[index] = True
            return Piece(0, end=True) if all(self.ended) else Piece(0)
        edge = next(edge for edge in self.gate.edges if index in edge.inputs)
        if edge.merge and piece.end_turn:
            edge.turn_taken()
        return piece

    def _work(self, piece: Piece) -> None:
        if piece.end:
            self.finished = True
            self.pending = [(queue, piece) for queue in range(len(self.outputs))]
            return
        if not self.outputs:
            self.got.extend(piece.rows)
        elif self.source is not None or piece.rows or piece.end_turn:
            self._give(piece)

    def _give(self, piece: Piece) -> None:
        rows = [row for row in piece.rows if keeps(row)]
        receivers = len(self.outputs)
        for queue in range(receivers):
            mine = rows if self.deals else [row for row in rows if row % receivers == queue]
            sees = piece.turn % receivers == queue if self.deals else True
            if not sees:
                continue
            cuts = sorted(self.random.randint(0, len(mine)) for _ in range(self.random.randrange(MOST_FRAMES)))
            parts = [tuple(mine[a:b]) for a, b in zip([0, *cuts], [*cuts, len(mine)])]
            frames = [part for part in parts if part] or ([()] if piece.end_turn else [])
            for number, part in enumerate(frames):
                last = piece.end_turn and number == len(frames) - 1
                self.pending.append((queue, Piece(piece.turn, part, last)))


def keeps(row: int) -> bool:
    return row % 7 != 3 and row // 10 % 4 != 2  # whole turns are filtered away


def turns_of(random: Random, turns: int) -> Iterator[Piece]:
    """Turn t has the rows 10 t and following; some turns have none, some come in two frames."""
    for turn in range(turns):
        rows = tuple(range(10 * turn, 10 * turn + random.randint(0, 6)))
        yield Piece(turn, rows, end_turn=True)


def stage(
    random: Random, senders: list[Actor], workers: int, *, merge: bool, dealt: bool, deals: bool
) -> list[Actor]:
    """Actors behind `senders`; `dealt`: each sees every nth turn, else all see all."""
    actors = []
    for slot in range(workers):
        queues = [Queue() for _ in senders]
        for sender, queue in zip(senders, queues, strict=True):
            sender.outputs.append(queue)
        edge = EdgeGate(
            range(len(senders)), merge and len(senders) > 1, slot if dealt else 0, workers if dealt else 1
        )
        actors.append(Actor(random, queues, [], Gate([edge], len(senders)), deals, ended=[False] * len(senders)))
    return actors


def run(random: Random, actors: list[Actor]) -> None:
    slow = [random.random() ** 3 for _ in actors]
    while not all(actor.finished and not actor.pending for actor in actors):
        order = sorted(range(len(actors)), key=lambda index: random.random() * slow[index])
        assert any(actors[index].step() for index in order), "a dead end: everybody waits for somebody else"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("last", ["one", "by key"])
def test_what_was_split_by_turns_is_merged_in_order_on_every_schedule(seed: int, workers: int, last: str) -> None:
    for schedule in range(150):
        random = Random(f"{seed} {schedule}")
        turns = list(turns_of(random, random.randint(0, 14)))
        source = Actor(random, [], [], deals=True, source=iter(turns))
        middle = stage(random, [source], workers, merge=False, dealt=True, deals=False)
        ends = stage(random, middle, 1 if last == "one" else 3, merge=True, dealt=False, deals=False)
        run(random, [source, *middle, *ends])
        expected = [row for piece in turns for row in piece.rows if keeps(row)]
        for number, end in enumerate(ends):
            assert end.got == [row for row in expected if row % len(ends) == number]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("first", "second"), [(2, 3), (3, 2), (4, 4), (5, 2)])
def test_two_ordered_stages_in_a_row_keep_the_order(seed: int, first: int, second: int) -> None:
    for schedule in range(150):
        random = Random(f"{seed} {schedule}")
        turns = list(turns_of(random, random.randint(0, 14)))
        source = Actor(random, [], [], deals=True, source=iter(turns))
        one = stage(random, [source], first, merge=False, dealt=True, deals=True)
        two = stage(random, one, second, merge=True, dealt=True, deals=False)
        (end,) = stage(random, two, 1, merge=True, dealt=False, deals=False)
        run(random, [source, *one, *two, end])
        assert end.got == [row for piece in turns for row in piece.rows if keeps(row)]
