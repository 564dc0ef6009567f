"""Queues, journals and pages made of any bytes: what was written is read, or the file is named; nothing else."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.channel.bell import FifoBell, create_bell
from penstock.channel.frame import HEADER_BYTES, Header, Kind
from penstock.channel.ring import CONTROL_BYTES, RingReader, RingWriter, create_ring
from penstock.errors import QueueDamaged
from penstock.mapped_file import by_mapping
from penstock.metrics.page import Page
from penstock.shared_file import Opening, by_calls
from penstock.slot.records.control import CONTROL_BYTES as WORDS_BYTES
from penstock.slot.records.control import Control
from penstock.slot.records.journal import Journal, create_journal, load_record
from penstock.slot.records.record import Record
from penstock.slot.records.work_page import WorkPage

CAPACITY = 1024
PAYLOADS = st.lists(st.binary(max_size=200), min_size=1, max_size=20)
Edit = tuple[str, int, int, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "write", "move", "cut", "extend"]),
        st.integers(0, 2**16), st.integers(0, 2**16), st.binary(min_size=1, max_size=80),
    ),
    min_size=1, max_size=5,
)  # fmt: skip


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """The bytes with some flipped, overwritten, moved elsewhere (frames swapped, laps replayed), cut or added."""
    changed = bytearray(data)
    for what, a, b, junk in edits:
        size = len(changed)
        if what == "extend":
            changed += junk
        if not size:
            continue
        if what == "flip":
            changed[a % size] ^= 1 << b % 8
        elif what == "write":
            changed[a % size : a % size + len(junk)] = junk[: size - a % size]
        elif what == "move":
            length = min(8 * len(junk), size - a % size, size - b % size)
            changed[b % size : b % size + length] = changed[a % size : a % size + length]
        elif what == "cut":
            del changed[a % size :]
    return bytes(changed)


def lapped(path: Path, payloads: list[bytes]) -> tuple[list[bytes], int, int]:
    """A queue through which payloads went until it held as many as it can: what is in it, its head and sequence."""
    create_ring(path, CAPACITY)
    writer, reader = RingWriter(path, by_mapping), RingReader(path, by_mapping)
    queued: list[bytes] = []
    for payload in payloads:
        while writer.room() < HEADER_BYTES + len(payload) + 8:
            reader.read_nowait()
            reader.publish()
            queued.pop(0)
        writer.append_nowait(Header(Kind.BATCH, 1, writer.sequence), payload)
        writer.publish()
        queued.append(payload)
    writer.close()
    reader.close()
    return queued, reader.head, reader.sequence


def read(path: Path, head: int, sequence: int, opening: Opening) -> list[bytes]:
    """What a reader gets before the file ends or is named."""
    found: list[bytes] = []
    try:
        reader = RingReader(path, opening)
        reader.restore(head, sequence, 0)
        while reader.waiting:
            frame = reader.read_nowait()
            assert frame is not None
            assert type(frame.payload) is bytes
            found.append(frame.payload)
        reader.close()
    except QueueDamaged as damaged:
        assert damaged.path == path
        assert "--fresh" in str(damaged)
    return found


@pytest.mark.parametrize("opening", [by_mapping, by_calls])
@given(payloads=PAYLOADS, edits=EDITS)
def test_a_queue_whatever_was_done_to_it_gives_what_was_written_or_is_named(
    payloads: list[bytes], edits: list[Edit], opening: Opening, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "queue"
    queued, head, sequence = lapped(path, payloads)
    path.write_bytes(edited(path.read_bytes(), edits))
    found = read(path, head, sequence, opening)
    assert found == queued[: len(found)]


@given(head=st.integers(0, 2**63), sequence=st.integers(0, 2**63), tail=st.integers(0, 2**64 - 1), data=st.randoms())
def test_a_queue_of_any_bytes_gives_nothing_that_was_not_written(
    head: int, sequence: int, tail: int, data: random.Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its cursors are whole, so that the frame reader gets to see what stands behind them."""
    path = tmp_path_factory.mktemp("any") / "queue"
    create_ring(path, CAPACITY)
    writer = RingWriter(path, by_mapping)
    writer.restore(data.choice([tail, head + data.randrange(8, CAPACITY + 8, 8) & 2**64 - 1]), sequence, 0)
    writer.publish()
    writer.close()
    with path.open("r+b") as file:
        file.seek(CONTROL_BYTES)
        file.write(data.randbytes(CAPACITY))
    assert read(path, head, sequence, by_calls) == []


def numbered(number: int, filler: int) -> Record:
    return Record(number=number, run_id="r" * filler)


@given(fillers=st.lists(st.integers(0, 300), min_size=1, max_size=6), edits=EDITS)
def test_a_journal_whatever_was_done_to_it_gives_its_last_record_or_is_named(
    fillers: list[int], edits: list[Edit], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "journal"
    create_journal(path, numbered(0, 0), 512)
    journal = Journal(path, by_mapping)
    for number, filler in enumerate(fillers, 1):
        journal.commit(numbered(number, filler))
    journal.close()
    path.write_bytes(edited(path.read_bytes(), edits))
    try:
        assert load_record(path) == numbered(len(fillers), fillers[-1])
    except QueueDamaged as damaged:
        assert damaged.path == path


@given(commits=st.integers(1, 5))
def test_the_halves_of_a_journal_swapped_are_told(commits: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("swapped") / "journal"
    create_journal(path, numbered(0, 0), 512)
    journal = Journal(path, by_mapping)
    for number in range(1, commits + 1):
        journal.commit(numbered(number, 10))
    journal.close()
    data = path.read_bytes()
    path.write_bytes(data[:64] + data[64 + 512 :] + data[64 : 64 + 512])
    with pytest.raises(QueueDamaged):
        load_record(path)


@given(data=st.binary(max_size=300))
def test_a_journal_of_any_bytes_is_named(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "journal"
    path.write_bytes(data)
    with pytest.raises(QueueDamaged):
        load_record(path)


def _page(path: Path, opening: Opening) -> None:
    page = Page(path, opening, writable=True)
    page.read_words()
    page.close()


def _work(path: Path, opening: Opening) -> None:
    page = WorkPage(path, opening)
    page.read()
    page.close()


def _bell(path: Path, opening: Opening) -> None:
    bell = FifoBell(path.with_name("bell"), opening)
    assert bell.asleep >= 0
    bell.close()


def _control(path: Path, opening: Opening) -> None:
    control = Control(path, opening)
    try:
        assert (control.draining, control.stopping) == (False, False)
    finally:
        control.close()


SMALL: dict[str, tuple[Callable[[Path], None], Callable[[Path, Opening], None]]] = {
    "a.page": (Page.create, _page),
    "work": (WorkPage.create, _work),
    "bell.asleep": (lambda path: create_bell(path.with_name("bell")), _bell),
    "control": (Control.create, _control),
}


@pytest.mark.parametrize("opening", [by_mapping, by_calls])
@pytest.mark.parametrize("name", SMALL)
@given(edits=EDITS)
def test_a_page_whatever_was_done_to_it_is_read_or_named(
    name: str, edits: list[Edit], opening: Opening, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / name
    create, look = SMALL[name]
    create(path)
    path.write_bytes(edited(path.read_bytes(), edits))
    try:
        look(path, opening)
    except QueueDamaged as damaged:
        assert damaged.path == path


@given(bit=st.integers(0, 8 * WORDS_BYTES - 1), drained=st.booleans())
def test_a_flipped_bit_never_drains_or_stops_a_run(
    bit: int, drained: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a drained run gives looks like the end of its input."""
    path = tmp_path_factory.mktemp("flipped") / "control"
    Control.create(path)
    control = Control(path, by_mapping)
    if drained:
        control.drain()
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    try:
        assert (control.draining, control.stopping) == (drained, False)
    except QueueDamaged as damaged:
        assert damaged.path == path
    finally:
        control.close()


@pytest.mark.parametrize("name", SMALL)
def test_a_page_that_is_missing_or_no_file_is_named(name: str, tmp_path: Path) -> None:
    create, look = SMALL[name]
    path = tmp_path / name
    create(path)
    path.unlink()
    for opening in (by_mapping, by_calls):
        with pytest.raises(QueueDamaged, match=f"{name}: .* is missing"):
            look(path, opening)
    path.mkdir()
    for opening in (by_mapping, by_calls):
        with pytest.raises(QueueDamaged, match=f"{name}: .* is no longer a file"):
            look(path, opening)


def test_a_bell_that_is_no_fifo_is_named(tmp_path: Path) -> None:
    create_bell(tmp_path / "bell")
    (tmp_path / "bell").unlink()
    (tmp_path / "bell").touch()
    with pytest.raises(QueueDamaged, match="bell: a bell is no longer a FIFO"):
        FifoBell(tmp_path / "bell", by_mapping)


@pytest.mark.parametrize("name", ["queue", "journal", *SMALL])
def test_what_is_read_by_system_calls_is_told_when_it_is_cut_meanwhile(name: str, tmp_path: Path) -> None:
    """Were it mapped, this test would die of SIGBUS."""
    path = tmp_path / name
    touch: Callable[[], object]
    if name == "queue":
        create_ring(path, CAPACITY)
        ring = RingReader(path, by_calls)
        touch = ring.publish
    elif name == "journal":
        create_journal(path, numbered(0, 0))
        journal = Journal(path, by_calls)
        touch = lambda: journal.commit(numbered(1, 10))  # noqa: E731
    else:
        SMALL[name][0](path)
        touch = _held_open(name, path)
    os.truncate(path, 0)
    with pytest.raises(QueueDamaged, match=rf"{name}: .* was cut from \d+ to 0 bytes"):
        touch()
    assert path.stat().st_size == 0


def _held_open(name: str, path: Path) -> Callable[[], object]:
    if name == "a.page":
        return Page(path, by_calls, writable=True).read_words
    if name == "work":
        page = WorkPage(path, by_calls)
        return lambda: page.clear()
    if name == "control":
        return Control(path, by_calls).drain
    return FifoBell(path.with_name("bell"), by_calls).say_awake


@given(value=st.integers(1, 2**64 - 1), index=st.integers(0, 3))
def test_words_are_the_same_mapped_and_by_system_calls(
    value: int, index: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("words") / "page"
    Page.create(path)
    mapped, called = Page(path, by_mapping, writable=True), Page(path, by_calls, writable=True)
    mapped.words[100 + index] = value
    assert called.words[100 + index] == value
    called.words[200 + index] = value
    assert mapped.words[200 + index] == value
    assert called.read_words() == mapped.read_words()
    mapped.close()
    called.close()
