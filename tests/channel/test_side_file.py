"""Side files: one at a time, checked when read, gone when done or when never committed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.channel.side_file import SideFiles
from penstock.errors import QueueDamaged


@pytest.fixture
def sides(tmp_path: Path) -> SideFiles:
    return SideFiles(tmp_path / "a->b#2.0-1")


@given(st.binary(max_size=200), st.integers(0, 2**40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_payload_comes_back(sides: SideFiles, payload: bytes, sequence: int) -> None:
    ticket = sides.write(sequence, payload)
    assert sides.read(sequence, ticket) == payload
    assert sides.delete_below(sequence + 1)


def test_a_turn_that_is_run_again_overwrites_what_it_wrote(sides: SideFiles) -> None:
    sides.write(5, b"a longer payload of the life before")
    ticket = sides.write(5, b"short")
    assert sides.read(5, ticket) == b"short"
    assert len(sides.outstanding()) == 1


def test_a_flipped_bit_a_cut_and_a_missing_file_are_told(sides: SideFiles) -> None:
    payload = b"some payload"
    ticket = sides.write(5, payload)
    (path,) = sides.outstanding()
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(QueueDamaged, match="side-5"):
            sides.read(5, ticket)
    for size in range(len(payload)):
        path.write_bytes(payload[:size])
        with pytest.raises(QueueDamaged):
            sides.read(5, ticket)
    path.unlink()
    with pytest.raises(QueueDamaged, match="missing"):
        sides.read(5, ticket)


def test_the_reader_deletes_what_is_done_and_the_writers_successor_what_never_happened(sides: SideFiles) -> None:
    for sequence in (3, 4, 10):
        sides.write(sequence, b"x")
    assert sides.delete_below(4)
    assert [path.name.rpartition("-")[2] for path in sides.outstanding()] == ["10", "4"]
    assert sides.delete_from(10)
    assert not sides.delete_from(10)
    assert len(sides.outstanding()) == 1


def test_queues_do_not_touch_each_others_files(tmp_path: Path) -> None:
    one, other = SideFiles(tmp_path / "a->b.0-1"), SideFiles(tmp_path / "a->b.0-10")
    one.write(1, b"one")
    other.write(1, b"other")
    assert len(one.outstanding()) == len(other.outstanding()) == 1
    assert one.delete_below(99)
    assert len(other.outstanding()) == 1
