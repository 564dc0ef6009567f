"""What a slot appends counts as far as its record says: no more after a death, and nothing that was not written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import QueueDamaged
from penstock.slot.records.committed_log import CommittedLog, frame, open_log

WHAT = "the file of this test"


def opened(path: Path, length: int) -> CommittedLog:
    log = open_log(path, WHAT, os.O_CREAT)
    log.cut(length)
    return log


turns = st.lists(st.tuples(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.sampled_from("ckdx")))


@given(turns)
def test_what_is_committed_is_there_in_order_and_nothing_else_however_the_writer_dies(
    turns: list[tuple[list[bytes], str]],
) -> None:
    """Each turn is committed, or killed before its record, or killed before its flush, or starts the log over."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        log, committed, length = opened(path, 0), list[bytes](), 0
        for bodies, ending in turns:
            if ending == "x":
                log.start_over()
                length, committed = log.flush(), []
            for body in bodies:
                log.append(frame(body))
            if ending == "d":
                log.close()
                log = opened(path, length)
                continue
            flushed = log.flush()
            if ending == "k":
                log.close()
                log = opened(path, length)
            else:
                length, committed = flushed, committed + bodies
            assert [body for _, body in log.bodies()] == committed
        log.close()
        log = opened(path, length)
        assert [body for _, body in log.bodies()] == committed
        log.close()


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_anywhere_is_told(bodies: list[bytes], data: st.DataObject) -> None:
    # Drawn before the log is opened: a draw may end the example.
    bit = data.draw(st.integers(0, 8 * sum(len(frame(body)) for body in bodies) - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        log = opened(path, 0)
        for body in bodies:
            log.append(frame(body))
        assert bit < 8 * log.flush()
        content = bytearray(path.read_bytes())
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(QueueDamaged, match=WHAT):
            list(log.bodies())
        log.close()


def test_a_log_that_is_missing_is_not_made_by_those_who_only_read(tmp_path: Path) -> None:
    with pytest.raises(QueueDamaged, match="missing"):
        open_log(tmp_path / "log", WHAT)
    assert not (tmp_path / "log").exists()


def test_what_was_forgotten_is_not_written(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", 0)
    log.append(frame(b"kept"))
    log.flush()
    log.append(frame(b"forgotten"))
    assert log.changed
    log.forget()
    assert [body for _, body in log.bodies()] == [b"kept"] and log.flush() == log.length
    log.close()
