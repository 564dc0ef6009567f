"""What is deleted, and what is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.checkpoints.manifest import Chunk, Cut, LogCut, Manifest
from penstock.checkpoints.retention import beyond, without


def _manifest(number: int, files: set[int], savepoint: bool) -> Manifest:
    chunks = tuple(Chunk(f"1.{file}.1.lasting", 0, 1, 0) for file in sorted(files))
    return Manifest(
        number=number, lineage=1, attempt="a", pipeline="clicks", program="1", taken_s=0.0, savepoint=savepoint,
        cut=Cut(run_id="run", layout={}, logs=(LogCut("log", chunks),)),
    )


_manifests = st.lists(st.tuples(st.sets(st.integers(0, 6)), st.booleans()), max_size=9).map(
    lambda drawn: [_manifest(2 + place, *parts) for place, parts in enumerate(drawn)]
)


@given(_manifests, st.integers(1, 4))
def test_the_newest_ones_and_savepoints_stay_with_all_their_files(manifests, keep):
    doomed = beyond(manifests, keep)
    stay = [manifest for manifest in manifests if manifest.number not in doomed.numbers]
    passing = [manifest for manifest in manifests if not manifest.savepoint]
    assert {m.number for m in stay} >= {m.number for m in (*passing[-keep:], *manifests[-1:])}
    assert {m.number for m in stay} >= {m.number for m in manifests if m.savepoint}
    assert len([m for m in stay if not m.savepoint]) <= keep
    assert not set(doomed.files) & {file for manifest in stay for file in manifest.files}


@given(_manifests, st.sets(st.integers(0, 12)), st.booleans())
def test_files_go_with_the_last_checkpoint_that_needs_them(manifests, numbers, newest_too):
    doomed = without(manifests, sorted(numbers), newest_too=newest_too)
    stay = {m.number for m in manifests} - set(doomed.numbers)
    needed = {file for m in manifests if m.number in stay for file in m.files}
    assert needed | set(doomed.files) == {file for m in manifests for file in m.files}
    assert not needed & set(doomed.files)
    assert set(doomed.numbers) <= numbers
    if manifests and not newest_too:
        assert manifests[-1].number in stay
