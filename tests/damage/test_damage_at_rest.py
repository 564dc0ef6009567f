"""A killed run, damaged before it is run again: exact, or the file is named, as the documentation says."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

import msgspec
import pytest
from damage_kit import BAD, DAMAGES, EXPECTED, KINDS, LONG_MODE_S, ONLY_FILES, SEED, Stand

import penstock as ps
from penstock.channel import ring
from penstock.engine.rundir import find_runs
from penstock.metrics.catalogue import Word
from penstock.run_files import read_checked
from penstock.supervisor.final_totals import final_totals
from penstock.supervisor.protocol import RunSpec

pytestmark = pytest.mark.timeout(3600)

DOCUMENTED = Path(__file__).parents[2] / "docs" / "operating.md"
HEADING = "## When files are damaged"
PIPES = {"bell", "lifeline", "pipes"}
"""They have no bytes at rest."""
COLUMNS = {
    "bits flipped": 0, "bytes overwritten": 0, "cut to nothing": 1, "cut to half": 1, "cut by a byte": 1,
    "made longer": 2, "removed": 3, "a directory instead": 3,
}  # fmt: skip


def documented() -> dict[str, list[set[str]]]:
    """For each kind of file: what the table in the documentation says of each column."""
    section = DOCUMENTED.read_text().partition(HEADING)[2].partition("\n## ")[0]
    table = {}
    for line in section.splitlines():
        if line.startswith("|") and "---" not in line and not line.startswith("| file"):
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            for kind in re.findall(r"[a-z][a-z' ]*[a-z]", re.sub(r"`[^`]*`", "", name)):
                table[kind] = [set(re.findall(r"continues|refused|fails", cell)) for cell in cells]
    return table


def test_every_kind_of_file_of_a_killed_run_is_in_the_documentation(stand: Stand) -> None:
    assert set(documented()) == set(KINDS)
    here = [path for path in stand.run_dir.rglob("*") if not path.is_dir()]
    assert set(here) == {path for kind in set(KINDS) - {"dead letters"} for path in _all(stand, kind)}
    for kind in KINDS:
        assert stand.files(kind), f"the killed run has no {kind}: nothing was tested with one"


def _all(stand: Stand, kind: str) -> list[Path]:
    return [
        path for path in stand.run_dir.rglob("*")
        if not path.is_dir() and re.fullmatch(KINDS[kind], os.path.relpath(path, stand.run_dir))
    ]


def _cases() -> list[tuple[str, str]]:
    """All in the long mode. In CI what is refused at once, for it costs nothing, and some of the others, by seed."""
    every = [(kind, damage) for kind in KINDS for damage in DAMAGES if kind not in PIPES or damage not in ONLY_FILES]
    if LONG_MODE_S:
        return every
    table = documented()
    quick = [case for case in every if table.get(case[0], [set()] * 4)[COLUMNS[case[1]]] == {"refused"}]
    slow = [case for case in every if case not in quick]
    return quick + sorted(random.Random(SEED).sample(slow, 22))


@pytest.mark.parametrize(("kind", "damage"), _cases())
def test_a_damaged_file_is_named_or_the_run_is_exact(kind: str, damage: str, stand: Stand) -> None:
    rng = random.Random(f"{SEED} {kind} {damage}")
    until = time.monotonic() + LONG_MODE_S / 20
    while True:
        _damage_one(stand, kind, damage, rng)
        if time.monotonic() >= until:
            return
        stand.restore()


def _damage_one(stand: Stand, kind: str, damage: str, rng: random.Random) -> None:
    path = rng.choice(stand.files(kind))
    DAMAGES[damage](path, rng)
    outcome = stand.run_again()
    assert outcome.took_s < 60
    said = {"finished": "continues", "refused": "refused", "failed": "fails"}[outcome.how]
    assert said in documented()[kind][COLUMNS[damage]], outcome.said
    if outcome.report is not None:
        stand.assert_exact(outcome, letters=kind != "dead letters")
        return
    outcome.assert_named(path)
    if kind != "dead letters":  # which cannot be read back, now
        assert set(stand.letters()) <= BAD, "an innocent row was set aside"


@pytest.mark.parametrize("kind", ["manifest", "journal"])
def test_what_is_refused_can_be_discarded(kind: str, stand: Stand) -> None:
    """The error says how: `--fresh`. So does `penstock clean`."""
    path = stand.files(kind)[0]
    DAMAGES["cut to half"](path, random.Random(1))
    assert stand.run_again().how == "refused"
    assert len(find_runs(stand.place / "run")) == 1
    (stand.place / "out" / "rows.jsonl").unlink()
    outcome = stand.run_again(fresh=True)
    assert outcome.report is not None
    assert stand.rows() == EXPECTED
    assert find_runs(stand.place / "run") == []


def test_a_removed_manifest_does_not_make_a_run_forgotten(stand: Stand) -> None:
    """Started over without a word, it would deliver twice to a target that is appended to."""
    stand.files("manifest")[0].unlink()
    with pytest.raises(ps.QueueDamaged, match="manifest of a run that had started is missing"):
        stand.start()


def test_pages_and_published_counts_do_not_change_what_is_reported(stand: Stand) -> None:
    """Nothing tells when a bit of theirs has flipped; the journals' records are checked."""
    spec = msgspec.msgpack.decode(read_checked(stand.run_dir / "spec", "spec"), type=RunSpec)
    before = final_totals(stand.run_dir, spec)
    for page in stand.files("page"):
        data = bytearray(page.read_bytes())
        data[8 * Word.ROWS_IN : 8 * Word.BUSY_NS] = random.Random(3).randbytes(8 * (Word.BUSY_NS - Word.ROWS_IN))
        page.write_bytes(data)
    for queue in stand.files("queue"):
        data = bytearray(queue.read_bytes())
        for word in (ring.W_TAIL_ROWS, ring.W_HEAD_ROWS):
            data[8 * word] ^= 16
        queue.write_bytes(data)
    assert final_totals(stand.run_dir, spec) == before
    assert before.undelivered_rows > 100
