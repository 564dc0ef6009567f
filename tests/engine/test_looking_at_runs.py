"""Runs are looked at while others end: what vanishes under one's eyes is no error."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from penstock.engine import rundir


def test_the_size_of_a_run_that_is_removed_meanwhile_is_what_is_left(tmp_path: Path) -> None:
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for slot in range(8):
                (tmp_path / "slots" / f"work.{slot}").mkdir(parents=True)
                (tmp_path / "slots" / f"work.{slot}" / "journal").write_bytes(b"x" * 5000)
            shutil.rmtree(tmp_path / "slots")

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(3000):
            rundir._size_of(tmp_path)  # raised FileNotFoundError
    finally:
        over.set()
        other.join(60)
    (tmp_path / "queue").write_bytes(b"x" * 8192)
    assert rundir._size_of(tmp_path) >= 8192
