"""Bells: whoever sleeps is woken, on every schedule that the processor's memory order allows."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from penstock.channel import bell as bell_module
from penstock.channel.bell import FifoBell, OnePerPath, Sleep, Waiter, create_bell
from penstock.channel.words import drain
from penstock.errors import QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.shared_file import Opening, by_calls

ROUNDS = 100_000
LOST_S = 5.0


@pytest.fixture
def bells(tmp_path: Path) -> Iterator[tuple[FifoBell, FifoBell]]:
    """The bells of two slots."""
    create_bell(tmp_path / "a")
    create_bell(tmp_path / "b")
    pair = FifoBell(tmp_path / "a", by_mapping), FifoBell(tmp_path / "b", by_mapping)
    yield pair
    for bell in pair:
        bell.close()


def test_a_ring_before_the_wait_is_not_lost(bells: tuple[FifoBell, FifoBell]) -> None:
    waiter = Waiter(bells[0])
    bells[0].ring()
    started = time.monotonic()
    waiter.wait(LOST_S)
    assert time.monotonic() - started < LOST_S
    waiter.close()


def test_a_bell_full_of_rings_still_wakes_once(bells: tuple[FifoBell, FifoBell]) -> None:
    for _ in range(70_000):
        bells[0].ring()
    waiter = Waiter(bells[0])
    waiter.wait(LOST_S)
    bells[0].say_asleep(Sleep.FOR_INPUT)
    started = time.monotonic()
    waiter.wait(0.01)  # what was rung is swallowed: this one runs into its time-out
    assert time.monotonic() - started >= 0.01
    waiter.close()


def test_others_that_are_ready_are_told_and_the_bell_is_not_among_them(bells: tuple[FifoBell, FifoBell]) -> None:
    waiter = Waiter(bells[0])
    mine, far = os.pipe()
    waiter.watch({mine})
    os.write(far, b"x")
    bells[0].ring()
    assert waiter.wait(LOST_S) == {mine}
    waiter.watch(set())
    assert waiter.wait(0.0) == set()
    for fd in (mine, far):
        os.close(fd)
    waiter.close()


def test_a_neighbour_sees_what_the_owner_sleeps_for(tmp_path: Path) -> None:
    create_bell(tmp_path / "bell")
    owner, neighbour = FifoBell(tmp_path / "bell", by_mapping), FifoBell(tmp_path / "bell", by_mapping)
    owner.say_asleep(Sleep.FOR_INPUT | Sleep.FOR_ROOM)
    assert neighbour.asleep == Sleep.FOR_INPUT | Sleep.FOR_ROOM
    owner.say_awake()
    assert neighbour.asleep == Sleep.AWAKE
    owner.close()
    neighbour.close()


def test_a_bell_whose_word_was_cut_is_reported(tmp_path: Path) -> None:
    create_bell(tmp_path / "bell")
    os.truncate(tmp_path / "bell.asleep", 0)
    with pytest.raises(QueueDamaged, match=r"bell\.asleep"):
        FifoBell(tmp_path / "bell", by_mapping)


# The order, on a processor that may keep a store back beyond later loads (x86-64): every schedule of two slots.


@dataclass(frozen=True)
class Machine:
    """Memory, what each of the two has stored and nobody else sees yet, and how far each has come."""

    published: int = 0
    asleep: int = 0
    rung: int = 0
    buffers: tuple[tuple[tuple[str, int], ...], ...] = ((), ())
    at: tuple[int, int] = (0, 0)
    looked: int = -1

    def sees(self, who: int, name: str) -> int:
        own = [value for stored, value in self.buffers[who] if stored == name]
        return own[-1] if own else int(getattr(self, name))

    def drained(self, who: int) -> Machine:
        machine = self
        for name, value in self.buffers[who]:
            machine = replace(machine, **{name: value})  # type: ignore[arg-type]
        return machine._with_buffer(who, ())

    def one_store_shown(self, who: int) -> Machine:
        (name, value), *rest = self.buffers[who]
        return replace(self, **{name: value})._with_buffer(who, tuple(rest))  # type: ignore[arg-type]

    def stored(self, who: int, name: str, value: int) -> Machine:
        return self._with_buffer(who, (*self.buffers[who], (name, value)))

    def _with_buffer(self, who: int, buffer: tuple[tuple[str, int], ...]) -> Machine:
        buffers = (buffer, self.buffers[1]) if who == 0 else (self.buffers[0], buffer)
        return replace(self, buffers=buffers)


Step = Callable[[Machine, int], Machine]


def _store(name: str, value: int) -> Step:
    return lambda machine, who: machine.stored(who, name, value)


def _fence(machine: Machine, who: int) -> Machine:
    drained = machine.drained(who)
    return replace(drained, rung=0) if who == 0 else drained  # the sleeper swallows what is in its bell


def _look(machine: Machine, who: int) -> Machine:
    return replace(machine, looked=machine.sees(who, "published"))


def _ring_if_asleep(machine: Machine, who: int) -> Machine:
    return replace(machine.drained(who), rung=1) if machine.sees(who, "asleep") else machine


def _ends(programs: tuple[list[Step], list[Step]]) -> set[Machine]:
    ends, waiting, seen = set(), [Machine()], {Machine()}
    while waiting:
        machine = waiting.pop()
        following = [machine.one_store_shown(who) for who in (0, 1) if machine.buffers[who]]
        for who in (0, 1):
            if machine.at[who] < len(programs[who]):
                at = (machine.at[0] + (who == 0), machine.at[1] + (who == 1))
                following.append(replace(programs[who][machine.at[who]](machine, who), at=at))
        if not following:
            ends.add(machine)
        waiting.extend(set(following) - seen)
        seen.update(following)
    return ends


def _lost_wake_ups(programs: tuple[list[Step], list[Step]]) -> int:
    """Ends in which the sleeper saw nothing, sleeps, and nobody rings."""
    return sum(not end.looked and not end.rung for end in _ends(programs))


class _Recorder:
    """Takes down what the bells do to shared memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sleeper: FifoBell, ringer: FifoBell) -> None:
        self.steps: tuple[list[Step], list[Step]] = ([], [])
        self.fences = True
        self._owners = {sleeper.fd: 0, ringer.fd: 1}
        monkeypatch.setattr(bell_module, "fence", lambda: self._fence(ringer.fd))
        monkeypatch.setattr(bell_module, "drain", self._fence)
        monkeypatch.setattr(sleeper, "_words", self)

    def _fence(self, fd: int) -> None:
        if self.fences:
            self.steps[self._owners[fd]].append(_fence)

    def __setitem__(self, index: int, value: int) -> None:
        self.steps[0].append(_store("asleep", value))

    def __getitem__(self, index: int) -> int:
        self.steps[1].append(_ring_if_asleep)
        return Sleep.FOR_INPUT

    def release(self) -> None:
        """As a memoryview has it."""


@pytest.mark.interpreted
@pytest.mark.parametrize("fences", [True, False])
def test_no_wake_up_is_lost_on_any_schedule(
    bells: tuple[FifoBell, FifoBell], monkeypatch: pytest.MonkeyPatch, fences: bool
) -> None:
    sleeper, ringer = bells
    recorder = _Recorder(monkeypatch, sleeper, ringer)
    recorder.fences = fences

    sleeper.say_asleep(Sleep.FOR_INPUT)
    recorder.steps[0].append(_look)

    recorder.steps[1].append(_store("published", 1))
    ringer.fence()
    assert sleeper.asleep

    # Without the fences the very same steps do miss each other: the schedules are hard enough.
    assert bool(_lost_wake_ups(recorder.steps)) is not fences
    monkeypatch.undo()


def test_a_sleepers_fence_swallows_own_rings(
    bells: tuple[FifoBell, FifoBell], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    real = os.read

    def read(fd: int, size: int) -> bytes:
        reads.append(fd)
        return real(fd, size)

    monkeypatch.setattr(os, "read", read)
    bells[0].ring()
    drain(bells[0].fd)
    drain(bells[0].fd)
    assert reads == [bells[0].fd] * 2


class Table:
    """One side of a game in which each waits for the other's move."""

    def __init__(self, folder: Path, mine: int) -> None:
        self.bell, self.other = FifoBell(folder / "ab"[mine], by_mapping), FifoBell(folder / "ab"[1 - mine], by_mapping)
        self.waiter = Waiter(self.bell)
        self._file = open(folder / "moves", "r+b")  # noqa: SIM115
        self.moves = memoryview(mmap.mmap(self._file.fileno(), 4096)).cast("Q")
        self.mine = mine

    def move(self, number: int) -> None:
        self.moves[8 * self.mine] = number
        self.bell.fence()
        if self.other.asleep & Sleep.FOR_INPUT:
            self.other.ring()

    def wait_for(self, number: int) -> None:
        while self.moves[8 * (1 - self.mine)] < number:
            self.bell.say_asleep(Sleep.FOR_INPUT)
            if self.moves[8 * (1 - self.mine)] < number:
                started = time.monotonic()
                self.waiter.wait(LOST_S)
                if time.monotonic() - started >= LOST_S:
                    raise AssertionError(f"nobody rang for move {number}")
            self.bell.say_awake()

    def close(self) -> None:
        self._file.close()
        self.waiter.close()
        self.bell.close()
        self.other.close()


def _answer(folder: Path) -> None:
    table = Table(folder, 1)
    for number in range(1, ROUNDS + 1):
        table.wait_for(number)
        table.move(number)


def test_two_processes_never_miss_each_others_bell(bells: tuple[FifoBell, FifoBell], tmp_path: Path) -> None:
    (tmp_path / "moves").write_bytes(bytes(4096))
    other: BaseProcess = multiprocessing.get_context("fork").Process(target=_answer, args=(tmp_path,))
    other.start()
    table = Table(tmp_path, 0)
    try:
        for number in range(1, ROUNDS + 1):
            table.move(number)
            table.wait_for(number)
        other.join(LOST_S)
        assert other.exitcode == 0
    finally:
        other.kill()
        other.join()
        other.close()
        table.close()


@pytest.mark.parametrize("opening", [by_mapping, by_calls])
def test_a_bell_has_one_end_however_many_edges_lead_to_its_owner(tmp_path: Path, opening: Opening) -> None:
    create_bell(tmp_path / "a")
    ends = OnePerPath(lambda path: FifoBell(path, opening))
    end = ends.of(tmp_path / "a")
    assert ends.of(tmp_path / "a") is end
    end.close()
    end.close()  # by the other edge
    assert end.fd < 0
