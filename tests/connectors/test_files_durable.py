"""A file that is said to be complete is on the disk: each part when the next one begins, the last one at the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from file_roles import open_writer

from penstock.connectors import files


class Synced:
    """Takes down how long each file was when it was last synced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lengths: dict[str, int] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._take_down)

    def _take_down(self, fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        self._fsync(number)
        self.lengths[os.readlink(f"/proc/self/fd/{number}")] = os.fstat(number).st_size


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Synced:
    return Synced(monkeypatch)


def whole(folder: Path, pattern: str) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in folder.rglob(pattern)}


def test_every_part_is_on_the_disk_before_the_next_one_begins(tmp_path: Path, synced: Synced) -> None:
    sink: Any = files.json_lines(f"{tmp_path}/out/", roll="1 KiB")
    sink.prepare()
    writer = open_writer(sink)
    for number in range(40):
        before = whole(tmp_path, "part*")
        writer.write([{"n": number, "text": "x" * 100}])
        if len(whole(tmp_path, "part*")) > len(before) > 0:
            assert {path: synced.lengths.get(path) for path in before} == before
    assert len(whole(tmp_path, "part*")) > 2
    writer.finish()
    assert synced.lengths == whole(tmp_path, "part*")
    writer.close()


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.csv", "out.parquet"])
def test_a_finished_file_is_on_the_disk_whole(tmp_path: Path, name: str, synced: Synced) -> None:
    make = {"jsonl": files.json_lines, "csv": files.csv, "parquet": files.parquet}[name.split(".")[1]]
    sink: Any = make(tmp_path / name)
    sink.prepare()
    writer = open_writer(sink)
    writer.write([{"n": number} for number in range(1000)])
    writer.finish()
    assert (tmp_path / name).stat().st_size in synced.lengths.values()
    writer.close()
