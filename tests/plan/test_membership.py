"""Membership: every key group has an owner, owners are balanced, a change moves as few groups as it can."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.errors import PipelineInvalid, QueueDamaged
from penstock.plan.membership import (
    KEY_GROUPS,
    dealt,
    decode_membership,
    encode_membership,
    first_membership,
    membership_changes,
    moved,
)
from penstock.plan.plan import Plan

slots = st.integers(1, 300)


def double(row: dict[str, int]) -> int:
    return 2 * row["a"]


def keyed(workers: int) -> Plan:
    app = ps.Pipeline("app")
    app.source([{"a": 1}]).stage("x", workers=workers).key_by("a").map(double).sink(print)
    return app.plan()


def balanced(table: tuple[int, ...], slots: int) -> bool:
    owned = Counter(table)
    counts = [owned[slot] for slot in range(slots)]
    return sum(counts) == len(table) == KEY_GROUPS and max(counts) - min(counts) <= 1


@given(slots)
def test_every_group_has_an_owner_and_owners_are_balanced(count: int) -> None:
    assert balanced(dealt(count), count)


@given(slots, st.lists(slots, min_size=1, max_size=5))
def test_owners_stay_balanced_however_often_the_slots_change(first: int, changes: list[int]) -> None:
    table = dealt(first)
    for count in changes:
        table = moved(table, count)
        assert balanced(table, count)


@given(slots, slots, slots)
def test_a_change_moves_the_least_number_of_groups(first: int, between: int, last: int) -> None:
    before = moved(dealt(first), between)
    after = moved(before, last)
    # No balanced table can keep more: each slot its share, and as many of those with more one more as there are odd.
    owned = Counter(before)
    least, odd = divmod(KEY_GROUPS, last)
    stay = sum(min(owned[slot], least) for slot in range(last))
    stay += min(odd, sum(owned[slot] > least for slot in range(last)))
    assert sum(old != new for old, new in zip(before, after, strict=True)) == KEY_GROUPS - stay


@given(slots)
def test_a_slot_more_takes_from_the_others_and_gives_back_what_it_took(count: int) -> None:
    before = dealt(count)
    grown = moved(before, count + 1)
    assert all(new in (old, count) for old, new in zip(before, grown, strict=True))
    assert all(old in (new, count) for old, new in zip(grown, moved(grown, count), strict=True))


@given(slots)
def test_no_change_moves_nothing(count: int) -> None:
    assert moved(dealt(count), count) == dealt(count)


def test_a_run_begins_with_the_workers_asked_for_and_a_table_where_rows_go_by_key() -> None:
    membership = first_membership(keyed(3))
    assert membership.version == 1
    assert membership.slots == {"items": 1, "x": 3, "stdout": 1}
    assert membership.tables == {"x": dealt(3)}


def test_a_change_is_the_next_version_and_leaves_the_earlier_one_alone() -> None:
    first = first_membership(keyed(3))
    second = first.rescaled("x", 5)
    assert (second.version, second.slots["x"], second.tables["x"]) == (2, 5, moved(dealt(3), 5))
    assert first == first_membership(keyed(3))


def test_other_numbers_of_workers_than_a_run_has_slots_are_named() -> None:
    run = first_membership(keyed(3))
    assert membership_changes(run, keyed(3)) == []
    assert membership_changes(run, keyed(4)) == ["stage x: workers 3 -> workers 4"]


def test_a_membership_survives_its_file(tmp_path: Path) -> None:
    membership = first_membership(keyed(3)).rescaled("x", 2)
    assert decode_membership(encode_membership(membership), tmp_path) == membership
    with pytest.raises(QueueDamaged, match="list of slots cannot be read"):
        decode_membership(b"\x93", tmp_path)


def test_more_workers_than_key_groups_are_refused() -> None:
    with pytest.raises(PipelineInvalid, match="keys have 256 groups"):
        keyed(257)

