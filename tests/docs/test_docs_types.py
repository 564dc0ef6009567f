"""The programs of the README and of docs/ pass mypy --strict, as a reader's own would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import blocks
import pytest

DOCUMENTS = [page for page in sorted([blocks.ROOT / "README.md", *(blocks.ROOT / "docs").glob("*.md")])
             if blocks.named_programs(page)]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda page: page.name)
def test_programs_are_accepted_by_mypy_in_strict_mode(document: Path, tmp_path: Path, cache: Path) -> None:
    programs = blocks.named_programs(document)
    for name, source in programs.items():
        (tmp_path / name).write_text(source)
    command = [
        sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(cache),
        "--disable-error-code", "import-untyped", "--follow-imports", "silent", *programs,
    ]  # fmt: skip
    environment = {**os.environ, "MYPYPATH": str(blocks.ROOT / "src")}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
