"""Promises of reading a run directory."""

from __future__ import annotations

import shutil

import pytest
from run_dirs import HandClock, HandmadeRun

from penstock.errors import QueueDamaged
from penstock.metrics import layout, snapshot
from penstock.metrics.catalogue import Word
from penstock.metrics.snapshot import QueueReading, RunGone, take_snapshot


def test_pages_queues_phase_and_errors_are_read(made: HandmadeRun, clock: HandClock) -> None:
    made.stage("ingest")
    made.stage("enrich", workers=2)
    made.edge("ingest", "enrich", capacity=5000, queues=2)
    made.write("draining")
    made.set_words("enrich", {Word.ROWS_IN: 7}, slot=1)
    made.fill("ingest->enrich", queued=300, rows=3, read=4, oldest_ns=99, index=1)
    (made.path / "last_error" / "enrich").write_text("ValueError: no\n")

    found = take_snapshot(made.path, clock)

    assert (found.pipeline, found.phase, found.at_s) == ("clicks", "draining", clock.monotonic())
    assert [page.words[Word.ROWS_IN] for page in found.stages["enrich"].pages] == [0, 7]
    assert found.stages["enrich"].last_error == "ValueError: no"
    assert found.stages["ingest"].last_error is None
    assert found.edges["ingest->enrich"].queues == (QueueReading(0, 0, 0, 0), QueueReading(300, 3, 4, 99))


@pytest.mark.parametrize("until", ["layout.json", "phase", "ingest.0.page", "ingest->out.0.queue"])
def test_a_run_that_ends_while_it_is_read_is_said_to_be_gone(
    made: HandmadeRun, until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out")
    made.write()

    def decode(data: bytes) -> layout.Layout:
        (made.path / until).unlink()
        made.path.rename(made.path.with_name(".removing"))
        return layout.decode(data)

    monkeypatch.setattr(snapshot, "decode", decode)
    with pytest.raises(RunGone, match="the run ended"):
        take_snapshot(made.path)


@pytest.mark.parametrize("missing", ["ingest.0.page", "ingest->out.0.queue"])
def test_a_file_that_is_missing_while_the_others_are_there_is_named(made: HandmadeRun, missing: str) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out")
    made.write()
    (made.path / missing).unlink()
    with pytest.raises(QueueDamaged, match=f"{missing}: .* is missing"):
        take_snapshot(made.path)


def test_a_run_that_has_not_noted_a_phase_yet_is_starting(made: HandmadeRun) -> None:
    made.stage("ingest")
    made.write()
    (made.path / "phase").unlink()
    assert take_snapshot(made.path).phase == "starting"


def test_a_removed_run_directory_is_said_to_be_gone(made: HandmadeRun) -> None:
    shutil.rmtree(made.path)
    with pytest.raises(RunGone):
        take_snapshot(made.path)


@pytest.mark.parametrize(
    ("file", "content"),
    [("layout.json", b"{"), ("phase", b"asleep"), ("ingest.0.page", b"short"), ("ingest->out.0.queue", b"short")],
)
def test_a_file_that_is_something_else_is_named(made: HandmadeRun, file: str, content: bytes) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out")
    made.write()
    (made.path / file).write_bytes(content)
    with pytest.raises(QueueDamaged, match=file):
        take_snapshot(made.path)


def test_an_empty_queue_has_no_oldest_row_even_where_its_word_is_stale(made: HandmadeRun) -> None:
    made.stage("ingest")
    made.stage("out")
    made.edge("ingest", "out")
    made.write()
    made.fill("ingest->out", queued=0, rows=0, read=4, oldest_ns=99)
    assert take_snapshot(made.path).edges["ingest->out"].queues == (QueueReading(0, 0, 4, 0),)


def test_totals_are_known_only_when_every_source_knows_its_own(made: HandmadeRun) -> None:
    made.stage("a", total=10)
    made.stage("b", total=5)
    made.stage("out")
    made.edge("a", "out")
    made.edge("b", "out")
    made.write()
    assert take_snapshot(made.path).totals() == {"a": 10, "b": 5}


def test_no_totals_are_given_when_one_source_does_not_know(made: HandmadeRun) -> None:
    made.stage("a", total=10)
    made.stage("b")
    made.write()
    assert take_snapshot(made.path).totals() == {}
