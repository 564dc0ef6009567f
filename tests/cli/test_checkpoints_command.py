"""`penstock checkpoints`: list, show, verify and delete, over a store on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from checkpoints.cuts import holder, take
from penstock.checkpoints.claimed import claim
from penstock.checkpoints.history import read_log
from penstock.checkpoints.manifest import Manifest
from penstock.checkpoints.stores import open_store
from penstock.cli.main import cli
from penstock.errors import StoreTaken


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "two words"


def _fill(place: Path, pipeline: str = "clicks") -> list[Manifest]:
    """Checkpoints 2 to 5, of which 3 is a savepoint."""
    claimed = claim(open_store(place, pipeline), holder())
    return [take(claimed, b"log " * n, b"queue %d" % n, savepoint=n == 2) for n in (1, 2, 3, 4)]


def _call(*words: object) -> Result:
    return CliRunner().invoke(cli, ["checkpoints", *map(str, words)])


def _numbers(place: Path) -> list[int]:
    return [found.number for found in read_log(open_store(place, "clicks")).found]


def test_checkpoints_are_listed(place):
    _fill(place)
    _fill(place, "orders")
    told = _call("list", place).output
    assert told.index("clicks:") < told.index("orders:")
    assert told.count("savepoint") == 2
    assert told.count("checkpoint\n") == 6
    found = json.loads(_call("list", f"file://{place}".replace(" ", "%20"), "--format", "json").stdout)
    assert [each["id"] for each in found if each["pipeline"] == "clicks"] == ["2", "3", "4", "5"]


def test_a_store_without_checkpoints_is_told(place):
    assert f"no checkpoints in file://{str(place).replace(' ', '%20')}" in _call("list", place).output
    result = _call("verify", place)
    assert result.exit_code == 2
    assert "check the address" in result.output


def test_a_checkpoint_is_shown(place):
    _fill(place)
    told = _call("show", place, 3).output
    for line in ("id        3, savepoint", "queue     a->b.0-0: 7 B", "log       slots/a.0/retries.0: 8 B in 1 chunks"):
        assert line in told
    assert json.loads(_call("show", place, 3, "--format", "json").stdout)["queues"] == {"a->b.0-0": 7}


def test_an_unknown_id_is_told(place):
    _fill(place)
    for command in ("show", "verify", "delete"):
        result = _call(command, place, 9)
        assert result.exit_code == 2
        assert "there is no checkpoint 9" in result.output


def test_whole_checkpoints_are_told_to_be_whole(place):
    _fill(place)
    result = _call("verify", place)
    assert result.exit_code == 0
    assert result.output.count("whole") == 4


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_damage_is_told_and_only_where_it_matters(place, damage):
    made = _fill(place)
    file = place / "clicks" / "files" / next(f for f in made[1].files if f.endswith("passing"))
    match damage:
        case "flipped":
            file.write_bytes(b"quEue 2")
        case "cut":
            file.write_bytes(b"queue")
        case _:
            file.unlink()
    result = _call("verify", place)
    assert result.exit_code == 3
    assert "3: damaged: its file" in result.output
    assert result.output.count("whole") == 3
    assert _call("verify", place, 2, 4).exit_code == 0
    told = json.loads(_call("verify", place, 3, "--format", "json").stdout)
    assert told[0]["whole"] is False


def test_a_torn_manifest_is_told(place):
    _fill(place)
    (place / "clicks" / "log" / "000000000004").write_bytes(b"half")
    assert "4  cannot be read" in _call("list", place).output
    result = _call("verify", place)
    assert result.exit_code == 3
    assert "4: damaged: its manifest is cut" in result.output
    assert _call("show", place, 4).exit_code == 3


def test_checkpoints_are_deleted_and_the_others_stay_whole(place):
    _fill(place)
    assert _call("delete", place, 3, 2).output == "deleted 2, 3\n"
    assert _numbers(place) == [4, 5]
    assert _call("verify", place).exit_code == 0


def test_a_damaged_checkpoint_is_deleted(place):
    _fill(place)
    (place / "clicks" / "log" / "000000000004").write_bytes(b"half")
    assert _call("delete", place, 4, 2).output == "deleted 2, 4\n"
    assert _numbers(place) == [3, 5]
    assert _call("verify", place).exit_code == 0


def test_the_newest_is_deleted_by_force_only_and_keeps_the_run_out(place):
    claimed = claim(open_store(place, "clicks"), holder())
    for turn in (1, 2):
        take(claimed, b"log", b"queue %d" % turn)
    result = _call("delete", place, 3)
    assert result.exit_code == 3
    assert "newest checkpoint" in result.output
    assert "--force" in result.output
    assert _call("delete", place, 3, 2, "--force").output == "deleted 2, 3\n"
    assert _numbers(place) == []
    assert list((place / "clicks" / "files").iterdir()) == []
    with pytest.raises(StoreTaken, match="penstock checkpoints delete"):
        take(claimed, b"log", b"queue")


def test_nothing_is_deleted_while_a_run_begins(place):
    _fill(place)
    claim(open_store(place, "clicks"), holder())
    result = _call("delete", place, 2)
    assert result.exit_code == 3
    assert "has claimed this store" in result.output
    assert _numbers(place) == [2, 3, 4, 5]


def test_a_pipeline_is_named_where_there_are_several(place):
    _fill(place)
    _fill(place, "orders")
    result = _call("show", place, 2)
    assert result.exit_code == 2
    assert "clicks, orders" in result.output
    assert "id        2" in _call("show", place, 2, "--pipeline", "orders").output
    result = _call("show", place, 2, "--pipeline", "click")
    assert result.exit_code == 2
    assert "did you mean 'clicks'?" in result.output


def test_an_address_that_is_none_is_told():
    result = _call("list", "file://var/x")
    assert result.exit_code == 2
    assert "three slashes" in result.output
