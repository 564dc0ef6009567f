"""Frames: what is packed comes back, and only where it was packed for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.channel import frame as frames
from penstock.channel.frame import HEADER_BYTES, Header

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
payloads = st.binary(max_size=80)
positions = st.integers(0, 2**50)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    return Header(
        draw(U8), draw(U32), draw(U64), draw(U8), draw(U16), draw(U64), draw(U64),
        draw(st.integers(-(2**63), 2**63 - 1)),
    )


@given(headers(), payloads, positions)
def test_a_header_comes_back_with_every_field(header: Header, payload: bytes, position: int) -> None:
    head = frames.pack(header, payload, position)
    _, found = frames.unpack(head)
    assert len(head) == HEADER_BYTES
    assert found.length == len(payload)
    assert frames.intact(head, payload, position)
    for name in Header.__slots__:
        if name != "length":
            assert getattr(found, name) == getattr(header, name)


@given(headers(), payloads, positions, st.integers(1, 1000))
def test_a_frame_of_an_earlier_lap_is_not_intact(header: Header, payload: bytes, position: int, laps: int) -> None:
    head = frames.pack(header, payload, position)
    assert not frames.intact(head, payload, position + laps * 4096)


@given(headers(), payloads, positions, st.data())
def test_a_flipped_bit_is_seen(header: Header, payload: bytes, position: int, data: st.DataObject) -> None:
    whole = bytearray(frames.pack(header, payload, position) + payload)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert not frames.intact(bytes(whole[:HEADER_BYTES]), bytes(whole[HEADER_BYTES:]), position)


@given(headers(), st.binary(min_size=1, max_size=64), positions, st.data())
def test_a_flipped_bit_of_the_payload_is_seen(
    header: Header, payload: bytes, position: int, data: st.DataObject
) -> None:
    head, changed = frames.pack(header, payload, position), bytearray(payload)
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    assert not frames.intact(head, bytes(changed), position)


@given(st.integers(0, 10_000))
def test_frames_stay_aligned_and_take_the_least_room(length: int) -> None:
    assert frames.space(length) % 8 == 0
    assert 0 <= frames.space(length) - HEADER_BYTES - length < 8
