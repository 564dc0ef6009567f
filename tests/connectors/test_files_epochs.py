"""Folders of files whose rows become visible with checkpoints: parts are there whole or not at all, and once."""

from __future__ import annotations

import datetime
import enum
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as parquet
import pytest

import penstock as ps
from penstock.connectors import files
from penstock.connectors.files import epoch_parts
from penstock.connectors.files.partition import folder_of
from penstock.errors import OutputExists, TargetDamaged
from penstock.operator import Context
from penstock.sink import RowsRejected, Sink, TransactionalWriter

UTC = datetime.UTC


class Visit(msgspec.Struct):
    id: int
    country: str | None = None
    at: datetime.datetime | None = None


class Color(str, enum.Enum):  # noqa: UP042 - its `str` is `Color.RED`, other than that of a StrEnum
    RED = "red"


class Plain(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    ONE = 1


class Died(Exception):
    """The process is gone."""


def opened(sink: Sink[Any] | None, slot: int = 0, pipeline: str = "p") -> TransactionalWriter[Any]:
    assert sink is not None
    assert list(sink.check_sink()) == []
    writer = sink.writer(None, Context(pipeline=pipeline, stage="s", slot=slot, workers=1, attempt=0))
    assert isinstance(writer, TransactionalWriter)
    return writer


def visible(folder: Path, read: Callable[[Path], list[Any]]) -> list[Any]:
    return [row for path in sorted(folder.rglob("part-*"), key=_number) for row in read(path)]


def _number(path: Path) -> int:
    return int(path.name.split("-")[2].split(".")[0])


def ids_of_json(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def ids_of_csv(path: Path) -> list[int]:
    header, *lines = path.read_text().splitlines()
    assert header.split(",")[0] == "id"
    return [int(line.split(",")[0]) for line in lines]


def ids_of_parquet(path: Path) -> list[int]:
    ids: list[int] = parquet.read_table(path).column("id").to_pylist()
    return ids


KINDS: dict[str, tuple[Callable[..., Any], Callable[[Path], list[int]]]] = {
    "json": (files.json_lines, ids_of_json), "csv": (files.csv, ids_of_csv), "parquet": (files.parquet, ids_of_parquet),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("partition_by", [None, "country"])
def test_whoever_dies_at_any_effect_leaves_what_the_next_one_completes(
    kind: str, partition_by: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, read = KINDS[kind]
    rows = [Visit(id, "CH" if id % 2 else "AT") for id in range(6)]
    steps = 0
    while True:
        folder = tmp_path / str(steps)
        sink = make(f"{folder}/", Visit, partition_by=partition_by).at_checkpoint()
        first = opened(sink)
        first.write(rows[:3])
        first.commit(b"3")
        died = _dies_at_effect(monkeypatch, steps, lambda sink=sink: _second_commit(sink, rows[3:]))
        seen = sorted(visible(folder, read))
        assert seen[:3] == [0, 1, 2]  # what was visible stays, and a part that can be seen can be read
        again = opened(sink)
        noted = again.last_record()
        assert noted == (b"3" if len(visible(folder, read)) == 3 else b"6")
        if noted == b"3":
            again.write(rows[3:])
            again.commit(b"6")
        assert sorted(visible(folder, read)) == [0, 1, 2, 3, 4, 5]
        assert not list(folder.rglob("*.new"))
        if not died:
            break
        steps += 1
    assert steps > 5


def _second_commit(sink: Sink[Any], rows: list[Visit]) -> None:
    writer = opened(sink)
    writer.write(rows)
    writer.commit(b"6")


def _dies_at_effect(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]) -> bool:
    """Raise before the effect with this number; False: there are not so many."""
    done = 0
    with monkeypatch.context() as patch:
        for name in ("rename", "fsync", "unlink", "makedirs"):
            real = getattr(os, name)

            def effect(*args: Any, real: Any = real, **named: Any) -> Any:
                nonlocal done
                if done == number:
                    raise Died
                done += 1
                return real(*args, **named)

            patch.setattr(os, name, effect)
        try:
            act()
        except Died:
            return True
    return False


def test_a_part_that_is_large_enough_is_followed_by_another_one(tmp_path: Path) -> None:
    writer = opened(files.json_lines(f"{tmp_path}/", Visit, roll="100 B").at_checkpoint())
    for id in range(10):
        writer.write([Visit(id)])
    writer.commit(b"10")
    parts = sorted(tmp_path.glob("part-*"))
    assert len(parts) > 2
    assert all(path.stat().st_size < 200 for path in parts)
    assert visible(tmp_path, ids_of_json) == list(range(10))


def test_rows_that_cannot_be_written_or_have_no_folder_are_rejected_by_number(tmp_path: Path) -> None:
    writer = opened(files.json_lines(f"{tmp_path}/", partition_by="country").at_checkpoint())
    writer.write([{"id": 0, "country": "CH"}, {"id": 1}])
    writer.write([{"id": 2, "country": 1.5}, {"id": float("nan"), "country": "AT"}, {"id": 4, "country": "AT"}])
    with pytest.raises(RowsRejected) as rejected:
        writer.commit(b"note")
    assert set(rejected.value.reasons) == {1, 2, 3}
    assert "no field 'country'" in rejected.value.reasons[1]
    assert not list(tmp_path.rglob("part-*"))
    writer.write([{"id": 0, "country": "CH"}, {"id": 4, "country": "AT"}])
    writer.commit(b"note")
    assert {path.parent.name for path in tmp_path.rglob("part-*")} == {"country=CH", "country=AT"}


def test_folders_are_named_as_readers_of_partitions_expect() -> None:
    at = datetime.datetime(2026, 3, 1, 23, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=-2)))
    assert folder_of("country")({"country": "a/b=c"}) == "country=a%2Fb%3Dc"
    # As the row has them: `str` would give `Color.RED`, or whatever the class likes.
    assert folder_of("color")({"color": Color.RED}) == "color=red"
    assert folder_of(["color", "size"])({"color": Plain.RED, "size": Size.ONE}) == "color=red/size=1"
    assert folder_of(["a", "b"])({"a": None, "b": True}) == "a=__HIVE_DEFAULT_PARTITION__/b=true"
    assert folder_of(files.by_time("at"))(Visit(1, at=at)) == "date=2026-03-02"
    assert folder_of(files.by_time("at", "hour"))(Visit(1, at=at)) == "date=2026-03-02/hour=01"
    assert folder_of(files.by_time("t", "hour", unit="ms"))({"t": 0}) == "date=1970-01-01/hour=00"
    with pytest.raises(TypeError, match="must be a number or a datetime"):
        folder_of(files.by_time("at"))(Visit(1))


def test_duckdb_reads_partitions(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    writer = opened(files.parquet(f"{tmp_path}/", Visit, partition_by=files.by_time("at")).at_checkpoint())
    writer.write([Visit(id, "CH", datetime.datetime(2026, 1, 1 + id, tzinfo=UTC)) for id in range(3)])
    writer.commit(b"note")
    found = duckdb.sql(
        f"SELECT date, id FROM read_parquet('{tmp_path}/**/*.parquet', hive_partitioning = true) ORDER BY id"
    ).fetchall()
    assert found == [(datetime.date(2026, 1, 1 + id), id) for id in range(3)]


def test_a_fresh_run_refuses_appends_or_overwrites(tmp_path: Path) -> None:
    def sink(if_exists: str) -> Any:
        return files.json_lines(f"{tmp_path}/", Visit, if_exists=if_exists, partition_by="country").at_checkpoint()  # type: ignore[arg-type]

    sink("error").refuse()
    sink("error").prepare()
    writer = opened(sink("error"))
    writer.write([Visit(0, "CH")])
    writer.commit(b"first")
    with pytest.raises(OutputExists):
        sink("error").refuse()
    sink("append").refuse()
    sink("append").prepare()
    writer = opened(sink("append"))
    writer.write([Visit(1, "CH")])
    writer.commit(b"second")
    assert visible(tmp_path, ids_of_json) == [0, 1]
    sink("overwrite").prepare()
    assert opened(sink("overwrite")).last_record() is None
    assert visible(tmp_path, ids_of_json) == []


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    sink = files.json_lines(f"{tmp_path}/", Visit).at_checkpoint()
    opened(sink).commit(b"note")
    note = tmp_path / ".part-0.p.s.applied"
    data = bytearray(note.read_bytes())
    data[-1] ^= 1
    note.write_bytes(data)
    with pytest.raises(TargetDamaged, match="applied"):
        opened(sink)


@pytest.mark.parametrize("again", [False, True], ids=["removed", "removed and made again"])
@pytest.mark.parametrize("later", ["commit", "finish", "open"])
def test_a_folder_that_is_removed_meanwhile_is_not_taken_for_one_that_has_its_rows(
    tmp_path: Path, again: bool, later: str
) -> None:
    folder = tmp_path / "out"
    sink = files.json_lines(f"{folder}/", Visit).at_checkpoint()
    writer = opened(sink)
    writer.write([Visit(1)])
    writer.commit(b"first")
    shutil.rmtree(folder)
    if again:
        folder.mkdir()
    if later == "open":  # whoever resumes sees that its note is not there
        assert opened(sink).last_record() is None
        return
    writer.write([Visit(2)])
    with pytest.raises(TargetDamaged, match="was removed"):
        writer.commit(b"second") if later == "commit" else writer.finish()


def test_pipelines_that_append_to_one_folder_in_turn_go_on_where_each_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = files.json_lines(f"{tmp_path}/", Visit, if_exists="append", partition_by="country").at_checkpoint()
    first = opened(sink, pipeline="first")
    first.write([Visit(1, "CH")])
    with monkeypatch.context() as patch:  # its machine is lost between the note and what it says
        patch.setattr(epoch_parts, "_show", lambda *_: None)
        first.commit(b"of the first")
    assert visible(tmp_path, ids_of_json) == []
    second = opened(sink, pipeline="second")  # as a run that resumes: nothing is prepared
    assert second.last_record() is None
    second.write([Visit(2, "CH")])
    second.commit(b"of the second")
    first = opened(sink, pipeline="first")
    assert first.last_record() == b"of the first"
    first.write([Visit(3, "CH")])
    first.commit(b"of the first again")
    assert visible(tmp_path, ids_of_json) == [1, 2, 3]
    assert opened(sink, pipeline="second").last_record() == b"of the second"


def test_parts_that_a_reader_took_away_with_their_folder_are_not_missed(tmp_path: Path) -> None:
    sink = files.json_lines(f"{tmp_path}/", Visit, partition_by="country").at_checkpoint()
    writer = opened(sink)
    writer.write([Visit(1, "CH")])
    writer.commit(b"first")
    shutil.rmtree(tmp_path / "country=CH")
    writer = opened(sink)
    assert writer.last_record() == b"first"
    writer.write([Visit(2, "CH")])
    writer.commit(b"second")
    assert [path.name for path in tmp_path.rglob("part-*")] == ["part-0-1.jsonl"]


@pytest.mark.parametrize("first", [False, True])
def test_two_writers_of_one_folder_notice_each_other(tmp_path: Path, first: bool) -> None:
    """On one machine a claim keeps the second one out. On a file system that machines share, it would not."""
    sink = files.json_lines(f"{tmp_path}/", Visit).at_checkpoint()
    writer = opened(sink)
    if not first:
        writer.write([Visit(1)])
        writer.commit(b"first")
    other = opened(sink)
    other.write([Visit(2)])
    other.commit(b"other")
    writer.write([Visit(3)])
    with pytest.raises(TargetDamaged, match="another run writes to it"):
        writer.commit(b"second")
    assert visible(tmp_path, ids_of_json) == [2] if first else [1, 2]


def test_what_cannot_be_is_said_before_a_run(tmp_path: Path) -> None:
    def said(sink: Any, **options: Any) -> str:
        app = ps.Pipeline("p")
        app.source(range(3)).map(str).sink(sink, **options)
        return "\n".join(map(str, app.check()))

    assert "give a directory" in said(files.json_lines(tmp_path / "x.jsonl"), visible="at checkpoint")
    assert "partition_by needs visible=" in said(files.json_lines(f"{tmp_path}/", partition_by="id"))
    assert "roll='1 MiB' needs visible=" in said(files.csv(f"{tmp_path}/", roll="1 MiB"))
    assert "cannot wait for a checkpoint" in said(print, visible="at checkpoint")
    assert "a function cannot wait" in said(str, visible="at checkpoint")
    assert "is unknown" in said(files.json_lines(f"{tmp_path}/"), visible="soon")
