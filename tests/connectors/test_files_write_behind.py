"""What is told to the operating system while a file grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.connectors.files import write_behind
from penstock.connectors.files.write_behind import STEP_BYTES, WriteBehind


def test_every_byte_but_the_last_few_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[tuple[int, int]] = []
    monkeypatch.setattr(
        write_behind, "_begin_to_write", lambda: lambda fd, offset, count: named.append((offset, offset + count))
    )
    behind, length = WriteBehind(100), 100
    for _ in range(10):
        length += STEP_BYTES // 3 + 1
        behind.written(0, length)
    assert [start for start, _ in named] == [100, *(end for _, end in named[:-1])]
    assert length - named[-1][1] < STEP_BYTES


def test_the_system_takes_the_hint(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.write(bytes(10_000))
        file.flush()
        assert write_behind._begin_to_write()(file.fileno(), 0, 10_000) == 0
