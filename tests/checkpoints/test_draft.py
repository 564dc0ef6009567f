"""What is written of a checkpoint: chunks, and the files that they stand in."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.cuts import holder
from penstock.checkpoints.chunking import LARGE_BYTES
from penstock.checkpoints.claimed import Claimed, claim
from penstock.checkpoints.draft import OWN_FILE_BYTES
from penstock.checkpoints.history import content
from penstock.checkpoints.manifest import Chunks, Cut, LogCut
from penstock.checkpoints.memory_store import MemoryStore


def _claimed() -> Claimed:
    return claim(MemoryStore(), holder())


def _read(claimed: Claimed, *logs: Chunks) -> list[bytes]:
    cut = Cut(run_id="run", layout={}, logs=tuple(LogCut(f"log-{n}", chunks) for n, chunks in enumerate(logs)))
    draft = claimed.begin()
    manifest = claimed.commit(draft, cut, pipeline="clicks", taken_s=1.0)
    return [b"".join(content(claimed.store, manifest, log.chunks)) for log in manifest.cut.logs]


@given(st.lists(st.lists(st.binary(max_size=40), max_size=6), max_size=6))
def test_the_parts_of_a_log_are_one_chunk_however_they_are_cut(logs):
    claimed = _claimed()
    draft = claimed.begin()
    written = [draft.lasting(parts) for parts in logs]
    draft.close()
    assert [len(chunks) for chunks in written] == [1 if b"".join(parts) else 0 for parts in logs]
    assert _read(claimed, *written) == [b"".join(parts) for parts in logs]


def test_long_content_is_in_chunks_of_one_length_but_for_the_last():
    claimed = _claimed()
    data = os.urandom(LARGE_BYTES * 2 + 5)
    draft = claimed.begin()
    step = 3 * 1024 * 1024
    chunks = draft.lasting(data[at : at + step] for at in range(0, len(data), step))
    draft.close()
    assert [chunk.length for chunk in chunks] == [LARGE_BYTES, LARGE_BYTES, 5]
    assert _read(claimed, chunks) == [data]


def test_a_log_of_which_much_is_written_has_a_file_of_its_own():
    claimed = _claimed()
    draft = claimed.begin()
    small, much, other, again = (
        draft.lasting([bytes(size)]) for size in (10, OWN_FILE_BYTES, 20, OWN_FILE_BYTES + 1)
    )
    draft.close()
    assert small[0].file == other[0].file
    assert len({small[0].file, much[0].file, again[0].file}) == 3


def test_a_draft_that_is_given_up_leaves_nothing():
    claimed = _claimed()
    draft = claimed.begin()
    draft.passing([b"queue"])
    draft.lasting([b"small"])
    draft.lasting([bytes(OWN_FILE_BYTES)])
    draft.abandon()
    assert claimed.store.sizes("files") == {}


def test_a_draft_that_is_complete_is_not_taken_back():
    claimed = _claimed()
    draft = claimed.begin()
    chunks = draft.lasting([b"small"])
    draft.close()
    draft.abandon()
    assert set(claimed.store.sizes("files")) == {chunks[0].file}


@pytest.mark.parametrize("data", [bytearray(b"abc"), memoryview(b"abc"), b"abc"])
def test_what_the_caller_does_to_its_buffer_afterwards_changes_nothing(data):
    claimed = _claimed()
    draft = claimed.begin()

    def parts() -> object:
        yield data
        if isinstance(data, bytearray):
            data[:] = b"xyz"

    chunks = draft.lasting(parts())
    draft.close()
    assert _read(claimed, chunks) == [b"abc"]
