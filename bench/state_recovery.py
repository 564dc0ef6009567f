"""How quickly a slot with much state works again, and what the changelog costs: figures of the state room alone.

    python bench/state_recovery.py [--keys 1000000]

CPU time of one process, without queues and commits of other parts: its time on a machine that is idle otherwise.
"""

from __future__ import annotations

import argparse
import gc
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.build import is_compiled
from penstock.operator import Context
from penstock.operators.keyed_state import Values
from penstock.operators.scan import Scan
from penstock.plan.plan import Node
from penstock.slot.input.batches import Out
from penstock.slot.state.slot_state import SlotState
from penstock.slot.user_code.chain import Chain

BATCH_ROWS = 4096
ROWS = 500_000
CONTEXT = Context(pipeline="bench", stage="s", slot=0, workers=1, attempt=1)
Scanned = Callable[[Any, Any], tuple[Any, Any]]


class Event(msgspec.Struct, array_like=True, gc=False):
    key: str
    value: float


def added(total: float, event: Event) -> tuple[float, float]:
    return total + event.value, total + event.value


def bare_loop(batches: Sequence[list[Event]], fn: Scanned, initial: Any) -> None:
    """What a user would write who needs no recovery."""
    states: dict[str, Any] = {}
    for batch in batches:
        given = []
        for event in batch:
            key = event.key
            states[key], row = fn(states.get(key, initial), event)
            given.append(row)


def scan_loop(batches: Sequence[list[Event]], fn: Scanned, initial: Any, folder: Path) -> float:
    """The same by `scan`, with a commit of the state for each batch; the longest of these."""
    chain, room = Chain([Node(Scan(fn, "", key="key", initial=initial), -1)], [0], label="s"), SlotState()
    chain.open(CONTEXT, room)
    room.open(folder / "changelog", [])
    out, longest = Out(), 0.0
    for batch in batches:
        chain.run(batch, [out])
        out.rows = []
        began = time.process_time()
        room.flush()
        room.committed()
        longest = max(longest, time.process_time() - began)
    room.close()
    return longest


def costs(folder: Path) -> None:
    """CPU time per row, the better of three rounds that alternate."""
    print("keys      bare loop  scan, logged  ratio  longest commit")
    for keys in (1_000, 20_000, 200_000):
        draw = random.Random(keys)
        events = [Event(f"user-{draw.randrange(keys):07d}", draw.random()) for _ in range(ROWS)]
        batches = [events[at : at + BATCH_ROWS] for at in range(0, ROWS, BATCH_ROWS)]
        bare = logged = longest = 1e9
        for number in range(3):
            began = time.process_time()
            bare_loop(batches, added, 0.0)
            bare, began = min(bare, time.process_time() - began), time.process_time()
            (folder / f"{keys}-{number}").mkdir()
            longest = min(longest, scan_loop(batches, added, 0.0, folder / f"{keys}-{number}"))
            logged = min(logged, time.process_time() - began)
        print(
            f"{keys:<9} {bare / ROWS * 1e9:6.0f} ns  {logged / ROWS * 1e9:9.0f} ns  {logged / bare:5.2f}"
            f"  {longest * 1e3:8.1f} ms"
        )


def recovery(keys: int, folder: Path) -> None:
    """A life with many keys, which rotates its log, and its successor."""
    room, shelf = _opened(folder, [])
    began = time.process_time()
    longest = 0.0
    for at in range(keys):
        shelf.add(f"user-{at:07d}", (at, 0.5))
        if at % BATCH_ROWS == 0:
            longest = max(longest, _committed(room)[1])
    draw = random.Random(1)
    for at in range(keys // 2):
        entry = shelf.find(f"user-{draw.randrange(keys):07d}")
        assert entry is not None
        shelf.replace(entry, (at, 1.5))
        if at % BATCH_ROWS == 0:
            longest = max(longest, _committed(room)[1])
    numbers, _ = _committed(room)
    room.close()
    size = sum(path.stat().st_size for path in folder.glob("changelog.*")) / 1e6
    spent = time.process_time() - began
    print(f"{keys} keys written in {spent:.1f} s; longest stop for a commit {longest * 1e3:.1f} ms")

    began = time.process_time()
    room, shelf = _opened(folder, numbers)
    opened = time.process_time() - began
    entry = shelf.find("user-0000007")
    assert entry is not None
    shelf.replace(entry, (0, 0.0))
    _committed(room)
    first = time.process_time() - began
    longest = 0.0
    while room.cold.groups:
        longest = max(longest, _committed(room)[1])
    warm = time.process_time() - began
    assert len(shelf.all()) == keys
    room.close()
    print(
        f"successor over {size:.0f} MB: open {opened * 1e3:.0f} ms, first commit {first * 1e3:.0f} ms, "
        f"all read {warm * 1e3:.0f} ms, longest stop meanwhile {longest * 1e3:.1f} ms"
    )


def _opened(folder: Path, numbers: Sequence[int]) -> tuple[SlotState, Values]:
    room = SlotState()
    stage = room.stage("s")
    shelf = stage.of("scan").values("", tuple)
    room.open(folder / "changelog", numbers)
    return room, shelf


def _committed(room: SlotState) -> tuple[list[int], float]:
    began = time.process_time()
    numbers = room.flush()
    room.committed()
    room.stage("s").undo.begin()
    return numbers, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    keys = parser.parse_args().keys
    gc.disable()  # as between the turns of a worker
    print("compiled" if is_compiled() else "not compiled")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        costs(Path(folder))
        recovery(keys, Path(folder))


if __name__ == "__main__":
    main()
