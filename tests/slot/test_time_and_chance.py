"""Whatever a slot does by time or chance, it does by those that it was given."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import penstock.slot
from penstock.slot.process.pauses import Pauses
from penstock.slot.time_and_chance import Clock

HAVE_THEIR_OWN = {
    "time_and_chance.py": "asks the machine, for all others",
    "row_timeout.py": "interrupts user code by the machine's interval timer",
    "stalls.py": "interrupts user code by the machine's interval timer",
    "randomness.py": "gives each worker's libraries a seed of their own",
}


def asks_the_machine(path: Path) -> list[str]:
    """Calls into `time` and `random`."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        f"{path.name}:{called.lineno}" for called in calls
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id in
        {"time", "random"}
    ]  # fmt: skip


def test_nothing_in_a_slot_asks_the_machine_for_time_or_chance_but_what_must() -> None:
    folder = Path(penstock.slot.__path__[0])
    found = {path.name: asks_the_machine(path) for path in sorted(folder.rglob("*.py"))}
    assert {name for name, calls in found.items() if calls} <= set(HAVE_THEIR_OWN), found
    assert found.keys() >= HAVE_THEIR_OWN.keys()


@pytest.mark.interpreted
def test_an_hours_pause_is_over_when_the_given_clock_says_so() -> None:
    class World:
        """A bell, what is waited on, and the supervisor's words: waiting lets time pass."""

        now_s = 0.0
        stopping = False

        def wait(self, seconds: float) -> set[int]:
            self.now_s += seconds
            return set()

        def drain(self) -> None: ...

    world = World()
    clock = Clock(now_s=lambda: world.now_s)
    Pauses(world, world, world, clock).pause(3600.0)  # type: ignore[arg-type]
    assert world.now_s == 3600.0
