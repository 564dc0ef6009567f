"""Going on in a packed file costs what stands in one member, not what stands before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from file_roles import rest, steps, write_all

from penstock.connectors import files
from penstock.connectors.files import content, line_reader, packed
from penstock.connectors.files.line_reader import LineForm, LineReader
from penstock.connectors.files.unchanged import MARK_BYTES

BATCHES, ROWS = 12, 50


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_file_that_a_sink_packed_is_resumed_at_the_member_that_was_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    path = tmp_path / f"out.jsonl{ending}"
    write_all(files.json_lines(path), *([{"n": ROWS * batch + n} for n in range(ROWS)] for batch in range(BATCHES)))
    member_bytes = len('{"n":123}\n') * ROWS
    for module in (content, line_reader):
        monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    read = steps(LineReader(str(path), None, LineForm()))
    assert sum(len(rows) for rows, _ in read) == BATCHES * ROWS
    positions = [position for _, position in read]
    assert len({position["at"][0] for position in positions}) == BATCHES
    assert max(position["at"][1] for position in positions) <= member_bytes

    offsets: list[int] = []
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        if size > MARK_BYTES:  # by the others the file is known again
            offsets.append(offset)
        return real(fd, size, offset)

    monkeypatch.setattr(packed.os, "pread", pread)
    late = positions[-2]
    assert late["at"][0] > path.stat().st_size // 2
    assert rest(LineReader(str(path), late, LineForm())) == read[-1][0]
    assert min(offsets) == late["at"][0]
