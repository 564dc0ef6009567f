"""Opening stores by their address, and what is in them."""

from __future__ import annotations

import pytest

from checkpoints.cuts import holder, take
from penstock.checkpoints.claimed import claim
from penstock.checkpoints.stores import open_store, pipelines_in
from penstock.errors import NotPrivate, StoreUnavailable


def test_pipelines_of_a_directory(tmp_path):
    place = tmp_path / "two words"
    assert pipelines_in(place) == []
    for pipeline in ("clicks", "orders"):
        take(claim(open_store(place, pipeline), holder()), b"log", b"queue")
    (place / "Not A Name").mkdir()
    (place / "file").write_text("")
    assert pipelines_in(f"file://{str(place).replace(' ', '%20')}") == ["clicks", "orders"]


def test_what_else_is_in_the_directory_is_left_alone(tmp_path):
    (tmp_path / "project" / "log").mkdir(parents=True)
    (tmp_path / "project").chmod(0o775)
    (tmp_path / "notes" / "files").mkdir(parents=True)
    (tmp_path / "notes" / "log").write_text("")
    assert pipelines_in(tmp_path) == []
    assert (tmp_path / "project").stat().st_mode & 0o777 == 0o775


def test_pipelines_of_a_bucket(s3_server):
    place = f"s3://{s3_server}/some where"
    assert pipelines_in(place) == []
    for pipeline in ("clicks", "orders"):
        take(claim(open_store(place, pipeline), holder()), b"log", b"queue")
    assert pipelines_in(place) == ["clicks", "orders"]
    assert pipelines_in(f"s3://{s3_server}/some") == []


def test_a_bucket_that_is_not_there_is_told(s3_server):
    with pytest.raises(StoreUnavailable, match="there is no such bucket; make it"):
        claim(open_store("s3://nowhere/x", "clicks"), holder())


def test_a_file_where_the_directory_should_be_is_told(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(NotPrivate, match="is not a directory"):
        claim(open_store(tmp_path / "store", "clicks"), holder())
