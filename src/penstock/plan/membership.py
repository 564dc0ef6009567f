"""How many slots each stage has, and which slot owns which keys. Pure.

A plan says how many workers are asked for. What a run has stands in its membership, a file of the run with a version
of its own: it is what will change during a run. Keys belong to 256 groups for good (`channel/router.py`);
a table says which slot owns each group. What is stored of a key is stored by its group, and moves with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from penstock.errors import QueueDamaged
from penstock.plan.plan import Plan, Route

KEY_GROUPS: Final = 256
"""More slots than groups would have no keys."""


MEMBERSHIP_IS: Final = "the list of slots"
T = TypeVar("T")
_NONE: Final[Mapping[str, Mapping[int, Any]]] = {}


class Membership(msgspec.Struct, frozen=True):
    """The slots of one run. A change gives a new value with the next version."""

    version: int
    slots: dict[str, int]
    """How many each stage has."""
    tables: dict[str, tuple[int, ...]]
    """For each stage that gets rows by key, the slot that owns each group."""
    gone: dict[str, dict[int, Any]] = {}
    """By stage and slot: where the sinks of slots stood that there were once, for when there are as many again."""
    letters: dict[str, dict[int, int]] = {}
    """By slot group and slot: how many bytes of dead letters such slots have left. They are the run's as before."""

    def rescaled(self, stage: str, slots: int) -> Membership:
        """The next version, in which a stage has this many slots, and as few groups as possible have a new owner."""
        tables = dict(self.tables)
        if stage in tables:
            tables[stage] = moved(tables[stage], slots)
        return Membership(self.version + 1, {**self.slots, stage: slots}, tables, self.gone, self.letters)


# Made once, before workers are forked: to make it takes longer than to use it.
_decode = msgspec.msgpack.Decoder(Membership).decode


def first_membership(plan: Plan) -> Membership:
    """As many slots as workers are asked for, and groups dealt evenly."""
    slots = {name: stage.settings.workers for name, stage in plan.stages.items()}
    keyed = [edge.receiver for edge in plan.edges if edge.route is Route.HASH]
    return Membership(1, slots, {name: dealt(slots[name]) for name in keyed})


def membership_changes(run: Membership, plan: Plan) -> list[str]:
    """Where a plan asks for other numbers of workers than a run has slots, a line for each stage of both."""
    wanted = {name: stage.settings.workers for name, stage in plan.stages.items()}
    return [
        f"stage {name}: workers {slots} -> workers {wanted[name]}"
        for name, slots in run.slots.items() if wanted.get(name, slots) != slots
    ]


def encode_membership(membership: Membership) -> bytes:
    return msgspec.msgpack.encode(membership)


def decode_membership(data: bytes, path: Path) -> Membership:
    """What `encode_membership` gave. Raises `QueueDamaged` for what is none; `path` says where it stood."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as exc:
        raise QueueDamaged(path, f"{MEMBERSHIP_IS} cannot be read ({exc})") from exc


def membership_for(
    earlier: Membership, plan: Plan, gone: Mapping[str, Mapping[int, Any]] = _NONE,
    letters: Mapping[str, Mapping[int, int]] = _NONE,
) -> Membership:
    """The slots that a plan asks for, where an earlier run had others: as few key groups as possible are moved.

    `gone`: where the sinks of slots stood that there are no more; `letters`: how many bytes of dead letters they left.
    """
    fresh = first_membership(plan)
    tables = {
        name: moved(earlier.tables[name], fresh.slots[name]) if name in earlier.tables else table
        for name, table in fresh.tables.items()
    }
    left = {
        name: {
            slot: position for slot, position in {**earlier.gone.get(name, {}), **gone.get(name, {})}.items()
            if slot >= fresh.slots[name]
        }
        for name in fresh.slots
    }
    there = {group: fresh.slots[stages[0].name] for group, stages in plan.slot_groups().items()}
    kept = {
        group: {
            slot: length for slot, length in {**earlier.letters.get(group, {}), **letters.get(group, {})}.items()
            if length and slot >= there.get(group, 0)
        }
        for group in {**earlier.letters, **letters}
    }
    return Membership(earlier.version + 1, fresh.slots, tables, _filled(left), _filled(kept))


def _filled(by_name: Mapping[str, dict[int, T]]) -> dict[str, dict[int, T]]:
    return {name: slots for name, slots in by_name.items() if slots}


def dealt(slots: int) -> tuple[int, ...]:
    """The table of a stage that begins: its slots own equally many groups, or one more."""
    return tuple(group % slots for group in range(KEY_GROUPS))


def moved(table: Sequence[int], slots: int) -> tuple[int, ...]:
    """The table after a change to this many slots: balanced, with as few groups moved as that allows."""
    owned = [0] * slots
    for owner in table:
        if owner < slots:
            owned[owner] += 1
    room = _quotas(owned)
    moved_to: list[int] = []
    homeless: list[int] = []
    for group, owner in enumerate(table):
        if owner < slots and room[owner]:
            room[owner] -= 1
        else:
            homeless.append(group)
        moved_to.append(owner)
    takers = [slot for slot in range(slots) for _ in range(room[slot])]
    for group, taker in zip(homeless, takers, strict=True):
        moved_to[group] = taker
    return tuple(moved_to)


def _quotas(owned: Sequence[int]) -> list[int]:
    """How many groups each slot will own; the odd ones stay with those who own most, or they would move."""
    least, odd = divmod(KEY_GROUPS, len(owned))
    most_first = sorted(range(len(owned)), key=lambda slot: (-owned[slot], slot))
    with_one_more = set(most_first[:odd])
    return [least + (slot in with_one_more) for slot in range(len(owned))]
