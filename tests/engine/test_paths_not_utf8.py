"""Names of files that are not UTF-8: said before a row is written, with the path and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import penstock as ps
from penstock.connectors import files

ODD = os.fsdecode(b"caf\xe9")
PLACES = ["source", "target", "run_dir", "state_dir"]


def _run(folders: dict[str, Path]) -> ps.Report:
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    (folders["source"] / "lines.txt").write_text("a\nb\n")
    app = ps.Pipeline("bytes")
    lines = app.source(files.lines(folders["source"] / "lines.txt"), name="lines")
    lines.stage("work").map(str.upper).sink(files.json_lines(folders["target"] / "out.jsonl"), name="out")
    return app.run(run_dir=folders["run_dir"] / "run", state_dir=folders["state_dir"], progress=False)


@pytest.mark.parametrize("odd", PLACES)
def test_a_path_that_is_not_utf8_is_named_before_a_row_is_written(odd: str, tmp_path: Path) -> None:
    folders = {place: tmp_path / place for place in PLACES}
    with pytest.raises(ps.PathNotUtf8, match=r"caf\\xe9.*rename it"):
        _run({**folders, odd: tmp_path / ODD})
    assert not (folders["target"] / "out.jsonl").exists()
